//! The local driver with real sandboxes. A shell script stands in for GOAT.
#![allow(clippy::unwrap_used, reason = "these are tests, and their helpers")]

use std::process::{Command, Output};

mod host;
mod life;
mod plain;
mod refusal;
mod sight;

/// All of the above again, as somebody who is not root.
#[test]
fn an_ordinary_user_has_all_of_it() {
    if host::is_root() {
        assert_passed(&host::Copied::new().run_as(54_321, "sandbox", ""));
    }
}

/// What places promise about beginnings and ends, where namespaces are refused.
#[test]
fn without_namespaces_places_begin_and_end_the_same() {
    if std::env::var_os(host::SANDBOX).is_some() {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads", "4", "life::"])
        .env(host::SANDBOX, host::CONTAINED)
        .output()
        .unwrap();
    assert_passed(&output);
    if host::is_root() {
        assert_passed(&host::Copied::new().run_as(54_321, "contained", "life::"));
    }
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains(" 0 passed"), "{text}");
}
