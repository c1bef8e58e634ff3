//! The local driver with real sandboxes. A shell script stands in for GOAT.
#![allow(clippy::unwrap_used, reason = "these are tests, and their helpers")]

mod host;
mod life;
mod refusal;
mod sight;

/// All of the above again, as somebody who is not root.
#[test]
fn an_ordinary_user_has_all_of_it() {
    if !host::is_root() {
        return;
    }
    let tests = host::Copied::new();

    let output = tests.run_as(54_321);

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains(" 0 passed"), "{text}");
}
