//! Payloads made here; recorded ones are in `tests/corpus.rs`.

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const COMMIT: &str = "199eddf46df50de8d02e99bf1c5fdb4101338224";

fn secret() -> Secret {
    Secret::new("hush")
}

fn signed(body: &[u8], event: &str) -> HeaderMap {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret().expose().as_bytes()).unwrap();
    mac.update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    headers.insert(SIGNATURE, signature.parse().unwrap());
    headers.insert(EVENT, event.parse().unwrap());
    headers.insert(DELIVERY, "d-1".parse().unwrap());
    headers
}

fn receive(event: &str, body: &[u8]) -> Result<Event, ForgeError> {
    let headers = signed(body, event);
    GitHub.decode(&GitHub.verify(&headers, body, &secret())?)
}

fn push(changes: &[(&str, Value)]) -> Result<Trigger, ForgeError> {
    let mut body = json!({
        "ref": "refs/heads/main",
        "after": COMMIT,
        "deleted": false,
        "head_commit": {"id": COMMIT, "message": "Add a thing"},
        "repository": {"full_name": "acme/app"},
        "pusher": {"name": "ann"},
    });
    for (key, value) in changes {
        body[*key] = value.clone();
    }
    receive("push", body.to_string().as_bytes()).map(|event| event.trigger)
}

fn ignored(result: Result<Trigger, ForgeError>) -> String {
    match result {
        Ok(Trigger::Ignored { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_push_becomes_a_trigger() {
    let trigger = push(&[]).unwrap();

    assert_eq!(
        trigger,
        Trigger::Push(Push {
            repository: "acme/app".to_owned(),
            commit: COMMIT.to_owned(),
            reference: "refs/heads/main".to_owned(),
            pusher: Some("ann".to_owned()),
        })
    );
}

#[test]
fn an_annotated_tag_runs_the_commit_that_it_points_to() {
    let tag = "f".repeat(40);

    let trigger = push(&[("ref", json!("refs/tags/v1")), ("after", json!(tag))]).unwrap();

    assert!(matches!(trigger, Trigger::Push(push) if push.commit == COMMIT));
}

#[test]
fn a_deleted_branch_starts_nothing() {
    let zeros = "0".repeat(40);

    let by_flag = push(&[("deleted", json!(true)), ("head_commit", Value::Null)]);
    let by_zeros = push(&[("after", json!(zeros)), ("head_commit", Value::Null)]);

    assert_eq!(ignored(by_flag), "refs/heads/main was deleted");
    assert_eq!(ignored(by_zeros), "refs/heads/main was deleted");
}

#[test]
fn a_head_commit_can_ask_to_be_skipped() {
    for word in ["[skip ci]", "[ci skip]"] {
        let message = format!("Mend a comment\n\n{word}");

        let trigger = push(&[("head_commit", json!({"id": COMMIT, "message": message}))]);

        assert_eq!(ignored(trigger), format!("the head commit says {word}"));
    }
}

#[test]
fn what_could_be_taken_for_an_option_is_no_commit_and_no_ref() {
    let cases = [
        ("head_commit", json!({"id": "--upload-pack=x"})),
        ("head_commit", json!({"id": "199eddf"})),
        ("head_commit", json!({"id": COMMIT.to_uppercase()})),
        ("ref", json!("main")),
        ("ref", json!("refs/heads/")),
        ("ref", json!("refs/heads/a\nb")),
        ("ref", json!("refs/heads/../x")),
    ];
    for (key, value) in cases {
        let result = push(&[(key, value.clone())]);

        assert!(
            matches!(result, Err(ForgeError::Malformed(_))),
            "{key} {value}: {result:?}"
        );
    }
}

#[test]
fn other_events_and_pings_are_told_apart() {
    let ping = receive("ping", br#"{"zen": "Keep it logically awesome.", "hook_id": 1}"#).unwrap();
    let issue = receive("issues", b"{}").unwrap();

    assert_eq!(ping.trigger, Trigger::Ping);
    assert_eq!(ping.delivery.as_deref(), Some("d-1"));
    assert_eq!(ignored(Ok(issue.trigger)), "`issues` events start nothing");
}

#[test]
fn the_old_signature_never_counts() {
    let body = b"{}";
    let mut headers = signed(body, "push");
    headers.remove(SIGNATURE);
    // The SHA-1 HMAC of `{}` under `hush` would not help, whatever it is.
    headers.insert(
        "X-Hub-Signature",
        "sha1=0000000000000000000000000000000000000000".parse().unwrap(),
    );

    let result = GitHub.verify(&headers, body, &secret());

    assert_eq!(
        result.map(|_| ()),
        Err(ForgeError::Unsigned { header: SIGNATURE })
    );
}

#[test]
fn two_signatures_are_none() {
    let body = b"{}";
    let mut headers = signed(body, "push");
    headers.append(SIGNATURE, "sha256=00".parse().unwrap());

    let result = GitHub.verify(&headers, body, &secret());

    assert_eq!(
        result.map(|_| ()),
        Err(ForgeError::Unsigned { header: SIGNATURE })
    );
}

#[test]
fn a_signature_without_its_prefix_is_wrong() {
    let body = b"{}";
    let mut headers = signed(body, "push");
    let bare = headers[SIGNATURE]
        .to_str()
        .unwrap()
        .trim_start_matches("sha256=")
        .to_owned();
    headers.insert(SIGNATURE, bare.parse().unwrap());

    let result = GitHub.verify(&headers, body, &secret());

    assert_eq!(
        result.map(|_| ()),
        Err(ForgeError::WrongSignature { header: SIGNATURE })
    );
}

#[test]
fn a_form_is_told_how_to_be_json() {
    let result = receive("push", b"payload=%7B%7D");

    assert!(matches!(result, Err(ForgeError::Malformed(message)) if message.contains("content type")));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..512), event in "[a-z_]{1,12}") {
        let _ = receive(&event, &body);
        let _ = receive("push", &body);
    }

    #[test]
    fn no_json_of_the_right_shape_makes_it_panic(
        reference in ".{0,40}", after in ".{0,70}", id in ".{0,70}", name in ".{0,20}", message in ".{0,40}",
    ) {
        let result = push(&[
            ("ref", json!(reference)),
            ("after", json!(after)),
            ("head_commit", json!({"id": id, "message": message})),
            ("repository", json!({"full_name": name})),
        ]);
        if let Ok(Trigger::Push(push)) = result {
            prop_assert!(is_commit(&push.commit) && is_reference(&push.reference));
        }
    }

    #[test]
    fn no_signature_header_makes_it_panic(value in proptest::collection::vec(32u8..=255, 0..100)) {
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert(SIGNATURE, value);
            let refused = GitHub.verify(&headers, b"{}", &secret()).is_err();
            prop_assert!(refused);
        }
    }
}
