//! The configuration's JSON, read as Go's `encoding/json` reads it, because that is what container agents write
//! it for: a key's case does not matter, of equal keys the last counts, `null` changes nothing, and unknown keys
//! are skipped.
//!
//! Where Go puts U+FFFD in place of what is no Unicode, this is an error.

use std::fmt;

use api::Secret;
use api::goat::GoatConfig;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Reads a configuration.
///
/// # Errors
/// What is wrong, with the key and the place. Never what stands there, which may be the token; nor serde's own
/// message, which may quote it.
pub(super) fn read(text: &[u8]) -> Result<GoatConfig, String> {
    let mut key = None;
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = json.deserialize_map(Whole { key: &mut key });
    read.and_then(|config| json.end().map(|()| config))
        .map_err(|error| {
            let what = match key {
                Some(key) if error.is_data() => format!("a key has the wrong type: `{key}`"),
                None if error.is_data() => "it is no JSON object".to_owned(),
                Some(key) => format!("it is not JSON in `{key}`"),
                None => "it is not JSON".to_owned(),
            };
            format!("{what}, at line {} column {}", error.line(), error.column())
        })
}

/// The whole configuration.
struct Whole<'k> {
    /// The key whose value is being read.
    key: &'k mut Option<&'static str>,
}

const KEYS: [&str; 14] = [
    "cmd",
    "user",
    "task_id",
    "token",
    "task_agent_path",
    "readiness_file_path",
    "enable_unsafe_retries",
    "runner_api_base_url",
    "allocation",
    "ssh_advertise_addr",
    "max_run_time",
    "notify_task_agent",
    "share_instance",
    "termination_message_path",
];

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = GoatConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GoatConfig, A::Error> {
        let mut config = GoatConfig::default();
        let mut words = Words::default();
        while let Some(name) = map.next_key::<String>()? {
            let Some(key) = KEYS.into_iter().find(|key| is_same(key, &name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            *self.key = Some(key);
            match key {
                "cmd" => map.next_value_seed(&mut words)?,
                "user" => set(&mut config.user, &mut map)?,
                "task_id" => set(&mut config.task_id, &mut map)?,
                "token" => config.token = map.next_value::<Option<Secret>>()?.or(config.token),
                "task_agent_path" => set(&mut config.task_agent_path, &mut map)?,
                "readiness_file_path" => set(&mut config.readiness_file_path, &mut map)?,
                "enable_unsafe_retries" => set(&mut config.enable_unsafe_retries, &mut map)?,
                "runner_api_base_url" => set(&mut config.runner_api_base_url, &mut map)?,
                "allocation" => set(&mut config.allocation, &mut map)?,
                "ssh_advertise_addr" => set(&mut config.ssh_advertise_addr, &mut map)?,
                "max_run_time" => set(&mut config.max_run_time, &mut map)?,
                "notify_task_agent" => set(&mut config.notify_task_agent, &mut map)?,
                "share_instance" => set(&mut config.share_instance, &mut map)?,
                "termination_message_path" => set(&mut config.termination_message_path, &mut map)?,
                _ => unreachable!("`KEYS` names no other"),
            }
            *self.key = None;
        }
        words.known.truncate(words.count);
        config.cmd = words.known;
        Ok(config)
    }
}

/// Sets a field, unless its value is `null`.
fn set<'de, T: Deserialize<'de>, A: MapAccess<'de>>(field: &mut T, map: &mut A) -> Result<(), A::Error> {
    if let Some(value) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

/// Whether a name is a key's, as Unicode folds case: two letters beyond ASCII are cases of ASCII ones.
fn is_same(key: &str, name: &str) -> bool {
    let folded = name.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    });
    folded.eq(key.chars())
}

/// A list of words. Go reads a second one into the memory of the first: `null` in it leaves the word that was
/// there, also one that is past the end of what the list was then.
#[derive(Default)]
struct Words {
    known: Vec<String>,
    count: usize,
}

impl<'de> DeserializeSeed<'de> for &mut Words {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Words {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of texts")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        *self = Words::default();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.count = 0;
        while let Some(word) = items.next_element::<Option<String>>()? {
            if self.count == self.known.len() {
                self.known.push(String::new());
            }
            if let Some(word) = word {
                self.known[self.count] = word;
            }
            self.count += 1;
        }
        if self.count == 0 {
            self.known.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::fuzz::fuzz;

    /// See `generate.go` there.
    const OF_GO: &str = include_str!("../../tests/golden/configs.jsonl");

    const WHOLE: &str = r#"{"cmd":["sh","-c","a\tb"],"user":"u","task_id":"i","token":"hunter2",
        "task_agent_path":"/a b","readiness_file_path":"/r","enable_unsafe_retries":true,
        "runner_api_base_url":"http://a","allocation":"a.1","ssh_advertise_addr":"a:1",
        "max_run_time":60000000000,"notify_task_agent":true,"share_instance":true,
        "termination_message_path":"/t","newer":{"a":[1,2.5e3,null]}}"#;

    /// Without what Go leaves out: zero values.
    fn object(config: &GoatConfig) -> Value {
        let mut object = serde_json::to_value(config).expect("it is plain data");
        let fields = object.as_object_mut().expect("it is an object");
        let zero = [
            Value::Null,
            "".into(),
            false.into(),
            0.into(),
            Value::Array(Vec::new()),
        ];
        fields.retain(|_, value| !zero.contains(value));
        object
    }

    #[test]
    fn it_is_what_go_reads_or_an_error() {
        let mut read_by_both = 0;
        for line in OF_GO.lines() {
            let line: Value = serde_json::from_str(line).expect("Go wrote it");
            let input = line["in"].as_str().map(|text| STANDARD.decode(text));
            let input = input.expect("a text").expect("base64");
            let shown = String::from_utf8_lossy(&input);

            match (read(&input), line.get("config")) {
                (Ok(config), Some(of_go)) => {
                    assert_eq!(&object(&config), of_go, "{shown}");
                    read_by_both += 1;
                }
                (Err(_), None) => {}
                (Ok(config), None) => panic!("Go refuses {shown}, which became {config:?}"),
                (Err(error), Some(_)) => {
                    let is_no_unicode = shown.contains('\u{fffd}') || shown.contains("\\ud8");
                    let is_odd = shown.contains(":-0") || shown.trim() == "null";
                    assert!(is_no_unicode || is_odd, "{shown}: {error}");
                }
            }
        }
        assert!(read_by_both > 300, "{read_by_both}");
    }

    #[test]
    fn every_key_that_the_configuration_has_is_read_and_named() {
        let whole = read(WHOLE.as_bytes()).expect("it is well-formed");
        let fields = object(&whole);

        for key in KEYS {
            assert!(fields.get(key).is_some(), "{key}");
            let error =
                read(format!("{{\"{key}\": {{\"hunter2\": 1}}}}").as_bytes()).expect_err("it is wrong");
            assert!(error.contains(&format!("wrong type: `{key}`")), "{error}");
        }
        assert_eq!(fields.as_object().map(serde_json::Map::len), Some(KEYS.len()));
    }

    #[test]
    fn nothing_where_something_belongs_is_as_if_it_were_not_there() {
        let nothing = KEYS.map(|key| format!("\"{key}\":null")).join(",");

        assert_eq!(
            read(format!("{{{nothing}}}").as_bytes()),
            Ok(GoatConfig::default())
        );
    }

    #[test]
    fn what_is_nested_without_end_is_an_error() {
        let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
        let error = read(deep.as_bytes()).expect_err("it is too deep");
        assert!(error.contains("it is not JSON, at line 1"), "{error}");

        let error =
            read(format!("{{\"cmd\":{}", "[".repeat(1 << 20)).as_bytes()).expect_err("it is too deep");
        assert!(error.contains("`cmd`"), "{error}");
    }

    /// What always holds.
    fn check(text: &[u8]) -> Result<(), TestCaseError> {
        if let Err(error) = read(text) {
            prop_assert!(!error.contains("hunter2"), "{error}");
            prop_assert!(error.contains("line") && error.len() < 200, "{error}");
        }
        Ok(())
    }

    #[test]
    fn no_bytes_make_it_panic() {
        fuzz(prop::collection::vec(any::<u8>(), 0..200), |bytes| check(&bytes));
    }

    #[test]
    fn no_damaged_configuration_makes_it_panic_or_shows_the_token() {
        let change = (
            any::<prop::sample::Index>(),
            0..8_usize,
            prop::sample::select(
                &[
                    "", "null", "[", "]", "{", "}", "\"", ",", ":", "1e999", "-", "\\", "\\ud800", "\0",
                    "\"cmd\":",
                ][..],
            ),
        );
        fuzz(prop::collection::vec(change, 1..5), |changes| {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for (at, cut, put) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, put.bytes());
            }
            check(&bytes)
        });
    }
}
