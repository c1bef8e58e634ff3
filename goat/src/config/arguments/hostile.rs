//! No command line and no variables make it panic.

use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::fuzz::fuzz;

const PIECES: &[&str] = &[
    "init",
    "run-task",
    "override",
    "probe",
    "fly",
    "-",
    "--",
    "-v",
    "-h",
    "-vh",
    "-x",
    "--version",
    "--help",
    "--shutdown-delay",
    "--termination-grace-period",
    "--health-check-addr",
    "--entrypoint",
    "=",
    "1s",
    "-1s",
    "9223372036854775807ns",
    "9223372036854775808ns",
    ",",
    ":0",
    "\u{b5}s",
    "",
];

/// A word: pieces beside each other, or any bytes but NUL.
fn word() -> impl Strategy<Value = OsString> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 1..4);
    let bytes = prop::collection::vec(1..=u8::MAX, 0..20);
    let mixed = (prop::sample::select(PIECES), bytes.clone());
    prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(OsString::from),
        4 => pieces.prop_map(|pieces| pieces.concat().into()),
        1 => bytes.prop_map(OsString::from_vec),
        2 => mixed.prop_map(|(piece, bytes)| OsString::from_vec([piece.as_bytes(), &bytes].concat())),
    ]
}

#[test]
fn no_words_and_no_variables_make_it_panic() {
    let input = (
        prop::collection::vec(word(), 0..6),
        prop::collection::vec(prop::option::of(word()), 4),
    );
    fuzz(input, |(words, values)| {
        let variables = [
            "SHUTDOWN_DELAY",
            "TERMINATION_GRACE_PERIOD",
            "HEALTH_CHECK_ADDR",
            "ENTRYPOINT",
        ];
        let lookup = |name: &str| {
            let known = variables.iter().position(|known| name.ends_with(known))?;
            values[known].clone()
        };
        let read = match Words::read(lexopt::Parser::from_args(&words)) {
            Ok(read) => read,
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                return Ok(());
            }
        };
        let settings = read.settings(&lookup);
        let command = read.complete(&lookup);
        match (read.command(), &command) {
            ("init", Ok(Command::Init { .. })) => prop_assert!(settings.is_ok()),
            ("override", Ok(Command::Override { entrypoint, .. })) => prop_assert!(!entrypoint[0].is_empty()),
            ("probe", Ok(Command::Probe { .. })) | ("help" | "version", Ok(Command::Print(_))) => {}
            ("run-task", _) => {}
            (_, Err(error)) => prop_assert!(!error.to_string().is_empty()),
            (name, Ok(other)) => return Err(TestCaseError::fail(format!("{name} became {other:?}"))),
        }
        Ok(())
    });
}
