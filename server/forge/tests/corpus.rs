//! Recorded deliveries, signed over their exact bytes with the secret `test-secret`. They are other
//! people's text and so not in this repository: `GOATHERD_CORPORA` says where they are.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and says what it skips"
)]

use std::path::{Path, PathBuf};

use api::Secret;
use forge::{Forge, ForgeError, GitHub, Trigger};
use http::{HeaderMap, HeaderName, HeaderValue};

struct Recorded {
    name: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn folder() -> PathBuf {
    let corpora = std::env::var_os("GOATHERD_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
        PathBuf::from,
    );
    corpora.join("webhooks/github")
}

fn recorded() -> Vec<Recorded> {
    let folder = folder();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!(
            "skipped: there are no recorded deliveries in {}",
            folder.display()
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".headers.json") else {
            continue;
        };
        let side: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let headers = side["headers"].as_object().unwrap().iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value.as_str().unwrap()).unwrap())
        });
        found.push(Recorded {
            name: stem.to_owned(),
            headers: headers.collect(),
            body: std::fs::read(folder.join(format!("{stem}.json"))).unwrap(),
        });
    }
    assert!(!found.is_empty(), "{} holds no deliveries", folder.display());
    found
}

#[test]
fn every_recorded_delivery_verifies_and_none_with_a_flipped_byte() {
    let secret = Secret::new("test-secret");
    for mut delivery in recorded() {
        let good = GitHub.verify(&delivery.headers, &delivery.body, &secret);
        assert!(good.is_ok(), "{}: {good:?}", delivery.name);

        // One bit in the middle of every 64th byte, the first and the last among them.
        let last = delivery.body.len() - 1;
        for place in (0..last).step_by(64).chain([last]) {
            delivery.body[place] ^= 0x10;
            let flipped = GitHub.verify(&delivery.headers, &delivery.body, &secret);
            assert!(
                matches!(flipped, Err(ForgeError::WrongSignature { .. })),
                "{} at {place}",
                delivery.name
            );
            delivery.body[place] ^= 0x10;
        }
    }
}

#[test]
fn every_recorded_push_is_a_trigger_and_nothing_else_is() {
    let secret = Secret::new("test-secret");
    for delivery in recorded() {
        let verified = GitHub.verify(&delivery.headers, &delivery.body, &secret).unwrap();

        let event = GitHub.decode(&verified).unwrap();

        assert!(event.delivery.is_some(), "{}", delivery.name);
        match event.trigger {
            Trigger::Push(push) => {
                assert!(delivery.name.starts_with("push_"), "{}", delivery.name);
                assert!(push.repository.contains('/'), "{push:?}");
                assert_eq!(push.commit.len(), 40, "{push:?}");
            }
            Trigger::Ping => assert!(delivery.name.starts_with("ping"), "{}", delivery.name),
            Trigger::Ignored { .. } => assert!(!delivery.name.starts_with("push_"), "{}", delivery.name),
        }
    }
}
