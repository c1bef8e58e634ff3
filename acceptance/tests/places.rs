//! Folders in a place root that no server knows of.

#![allow(clippy::unwrap_used)]

use std::fs;

use internal_testing::installation::PATIENCE;
use internal_testing::{Installation, Options, wait};

#[test]
fn an_agent_removes_what_a_killed_one_never_came_to_label() {
    let installation = Installation::start(&Options::default());
    let place = installation.place_root().join("jg36dp0bxm-1.1");
    fs::create_dir_all(place.join("home")).unwrap();
    let other = installation.place_root().join("notes");
    fs::create_dir(&other).unwrap();

    let _agent = installation.agent("one");

    wait::until("the place to be gone", PATIENCE, || {
        (!place.exists()).then_some(())
    });
    assert!(other.exists(), "what is no place is not the agent's to remove");
}
