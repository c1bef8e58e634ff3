//! The task's configuration: found, read once, and gone.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;

use api::goat::GoatConfig;
use sys::file::open_for_reading;
use zeroize::Zeroize;

use super::json;
use crate::error::GoatError;

const CONFIG: &str = "CIRCLECI_GOAT_CONFIG";
const CONFIG_FILE: &str = "CIRCLECI_GOAT_CONFIG_FILE";
const OURS: &[u8] = b"CIRCLECI_GOAT";

/// Whether a variable is for this process alone.
pub(super) fn is_ours(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OURS)
}

pub(super) fn lookup<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsString> {
    environment
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

/// Reads the configuration, removes the file that it came from, and takes every variable of ours out of the
/// environment that children get.
pub(super) fn load(environment: &mut Vec<(OsString, OsString)>) -> Result<GoatConfig, GoatError> {
    let mut text = None;
    let mut file = None;
    environment.retain_mut(|(name, value)| {
        if !is_ours(name) {
            return true;
        }
        let value = std::mem::take(value).into_encoded_bytes();
        match name.to_str() {
            Some(CONFIG) if !value.is_empty() => text = Some(value),
            Some(CONFIG_FILE) if !value.is_empty() => file = Some(value),
            _ => {}
        }
        false
    });
    let mut text = match (text, file) {
        (Some(mut text), Some(_)) => {
            text.zeroize();
            return Err(unusable(format!("both {CONFIG} and {CONFIG_FILE} are set")));
        }
        (Some(text), None) => text,
        (None, Some(file)) => take_file(OsStr::from_bytes(&file))?,
        (None, None) => return Err(unusable(format!("neither {CONFIG} nor {CONFIG_FILE} is set"))),
    };
    let task = json::read(&text).map_err(unusable);
    text.zeroize();
    task
}

/// A file that cannot be removed would stay for the task to read, and so would one behind a link.
fn take_file(path: &OsStr) -> Result<Vec<u8>, GoatError> {
    let mut text = Vec::new();
    open_for_reading(path.as_ref())
        .and_then(|mut file| file.read_to_end(&mut text))
        .map_err(|error| unusable(format!("{} cannot be read: {error}", path.display())))?;
    fs::remove_file(path).map_err(|error| {
        text.zeroize();
        unusable(format!("{} cannot be removed: {error}", path.display()))
    })?;
    Ok(text)
}

fn unusable(why: String) -> GoatError {
    GoatError::Configuration(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn children_do_not_get_variables_of_ours() {
        let mut environment = environment(&[
            ("PATH", "/bin"),
            (CONFIG, "{\"token\":\"t\",\"newer\":1}"),
            ("CIRCLECI_GOATS", "x"),
        ]);

        let task = load(&mut environment).expect("it is well-formed");

        assert_eq!(task.token.expect("it has one").expose(), "t");
        assert_eq!(environment, [("PATH".into(), "/bin".into())]);
    }

    #[test]
    fn a_configuration_file_is_gone_once_it_was_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.json");
        fs::write(&path, "{\"allocation\":\"a.1\"}").expect("it is written");

        let task = load(&mut environment(&[(CONFIG_FILE, &path.display().to_string())]));

        assert_eq!(task.expect("it is well-formed").allocation, "a.1");
        assert!(!path.exists());
    }

    #[test]
    fn a_configuration_file_behind_a_link_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, link) = (folder.path().join("config.json"), folder.path().join("link"));
        fs::write(&path, "{}").expect("it is written");
        std::os::unix::fs::symlink(&path, &link).expect("it is made");

        assert!(load(&mut environment(&[(CONFIG_FILE, &link.display().to_string())])).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_without_what_was_there() {
        for (text, place) in [
            (
                "{\"token\": \"hunter2\", \"cmd\": \"hunter2\"}",
                "line 1 column 37",
            ),
            ("{\"token\": [\"hunter2\"]}", "line 1 column 10"),
            ("hunter2", "line 1 column 1"),
        ] {
            let error = load(&mut environment(&[(CONFIG, text)]))
                .expect_err("it is wrong")
                .to_string();

            assert!(error.contains(place) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn both_or_neither_is_an_error() {
        assert!(load(&mut environment(&[(CONFIG, "{}"), (CONFIG_FILE, "/x")])).is_err());
        assert!(load(&mut environment(&[])).is_err());
    }
}
