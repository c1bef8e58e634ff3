//! What `./do images` was asked for is refused before anything is built.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Scene, images, stderr, stdout};

#[test]
fn what_can_be_made_and_pushed_is_taken() {
    let scene = Scene::new();
    let agent = scene.path("arm64/circleci-agent");

    for words in [
        &[][..],
        &["--only", "amd64", "--verify"],
        &["--task-agent", agent.to_str().unwrap()],
        &["--push", "127.0.0.1:5000/goatherd/runner-init:1.2.3"],
    ] {
        assert_eq!(stdout(&images().arg("check").args(words).output().unwrap()), "");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let scene = Scene::new();
    let agent = scene.path("arm64/circleci-agent");
    let agent = agent.to_str().unwrap();
    let text = scene.path("text");
    fs::write(&text, "no program").unwrap();

    for (words, why) in [
        (&["--push"][..], "a value is required for '--push"),
        (&["--push", "runner-init"], "runner-init"),
        (&["--only", "riscv64"], "`riscv64` is no architecture of ours"),
        (&["--task-agent", "/no/such/file"], "could not read /no/such/file"),
        (
            &["--task-agent", text.to_str().unwrap()],
            "neither an ELF program nor a script",
        ),
        (
            &["--only", "amd64", "--task-agent", agent],
            "for none of the architectures",
        ),
        (
            &["--task-agent", agent, "--task-agent", agent],
            "there are 2 task agents for arm64",
        ),
    ] {
        let output = images().arg("check").args(words).output().unwrap();

        let said = stderr(&output);
        assert!(said.contains(why), "{words:?}: {said}");
    }
}
