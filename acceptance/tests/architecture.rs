//! The house is as ARCHITECTURE.md says: each arrow between our crates is one that it draws, each folder is
//! named, and `unsafe` is in `sys` alone.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn architecture() -> String {
    std::fs::read_to_string(top().join("ARCHITECTURE.md")).unwrap()
}

/// The edges in the block of ARCHITECTURE.md.
fn drawn() -> BTreeMap<String, BTreeSet<String>> {
    let text = architecture();
    let block = text
        .split("```arrows\n")
        .nth(1)
        .expect("a block of arrows")
        .split("```")
        .next()
        .unwrap();
    block
        .lines()
        .map(|line| {
            let (from, to) = line.split_once("->").expect("an arrow");
            let to = to
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty());
            (from.trim().to_owned(), to.collect())
        })
        .collect()
}

/// The edges that the manifests have, as cargo reads them; dev-dependencies are free.
fn built() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let edges = package["dependencies"].as_array().unwrap().iter();
            let ours = edges
                .filter(|edge| edge["path"].is_string() && edge["kind"] != "dev")
                .map(|edge| edge["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), ours.collect())
        })
        .collect()
}

#[test]
fn the_arrows_between_our_crates_are_those_that_are_drawn() {
    let (drawn, built) = (drawn(), built());

    let arrows = |edges: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
        edges
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| format!("{from} -> {to}")))
            .collect()
    };
    let (drawn_arrows, built_arrows) = (arrows(&drawn), arrows(&built));
    let forbidden: Vec<_> = built_arrows.difference(&drawn_arrows).collect();
    let stale: Vec<_> = drawn_arrows.difference(&built_arrows).collect();

    assert!(
        forbidden.is_empty(),
        "arrows that ARCHITECTURE.md does not draw: {forbidden:?}"
    );
    assert!(
        stale.is_empty(),
        "arrows that ARCHITECTURE.md draws and no crate has: {stale:?}"
    );
    assert!(
        drawn.keys().eq(built.keys()),
        "ARCHITECTURE.md draws other crates than there are"
    );
}

#[test]
fn every_folder_is_named() {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let files = String::from_utf8(listed.stdout).unwrap();
    let mut folders = BTreeSet::new();
    for file in files.split('\0').filter(|file| file.contains('/')) {
        let mut parts = file.split('/');
        folders.insert(format!("{}/", parts.next().unwrap()));
        if file.ends_with("/Cargo.toml") {
            folders.insert(file.trim_end_matches("Cargo.toml").to_owned());
        }
    }
    // A folder that only holds crates is named by them.
    folders.remove("agent/");

    let text = architecture();
    let missing: Vec<_> = folders
        .iter()
        .filter(|folder| !text.contains(&format!("`{folder}`")))
        .collect();

    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let listed = Command::new("git")
        .args([
            "grep",
            "-lE",
            r"allow\(unsafe_code\)|expect\(unsafe_code",
            "--",
            "*.rs",
        ])
        .current_dir(top())
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();

    let elsewhere: Vec<_> = files
        .lines()
        .filter(|file| !file.starts_with("sys/") && *file != "acceptance/tests/architecture.rs")
        .collect();

    assert!(elsewhere.is_empty(), "unsafe code outside sys/: {elsewhere:?}");
}

#[test]
fn one_place_collects_the_children_of_goat() {
    let found = |pattern: &str| {
        let output = Command::new("git")
            .args(["grep", "-nE", pattern, "--", "goat/src"])
            .current_dir(top())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };

    let callers = found("wait_any\\(");
    assert_eq!(callers.lines().count(), 1, "{callers}");
    // Each of these would take statuses away from it.
    let others =
        found("tokio::process|waitid|waitpid|wait4|Child::wait|\\.spawn\\(\\)|spawn_blocking|thread::spawn");
    assert_eq!(others, "");
}
