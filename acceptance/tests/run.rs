//! `goatherd run` as a developer has it: files are changed, it is called, and they are as they were.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use internal_testing::Repository;
use internal_testing::binaries;
use tempfile::TempDir;

const LIST: &str = "jobs:
  list:
    steps:
      - checkout
      - run: {name: list, command: \"grep -r '' --exclude-dir=.git --exclude=.ci.yml . | sort; echo all\"}
";

fn run(folder: &Path, scratch: &Path) -> (Output, Vec<String>) {
    let output = Command::new(binaries::goatherd())
        .arg("run")
        .current_dir(folder)
        .env("TMPDIR", scratch)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // `[list/list +0.1s] ./a:1`
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("[list/list +")?.split_once("] "));
    let lines = lines
        .map(|(_, line)| line.to_owned())
        .filter(|line| line.starts_with("./"));
    let lines = lines.collect();
    (output, lines)
}

#[test]
fn a_change_in_the_working_tree_is_seen_without_a_commit() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    let (top, scratch) = (folder.path().join("app"), folder.path().join("scratch"));
    std::fs::create_dir(&scratch).unwrap();
    let repository = Repository::new(&top);
    repository.commit(".gitignore", "*.o\n");
    repository.commit("gone", "1\n");
    repository.commit("kept", "1\n");
    repository.commit(".ci.yml", LIST);
    let (output, committed) = run(&top, &scratch);
    assert_eq!(committed, ["./.gitignore:*.o", "./gone:1", "./kept:1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("4 files, as in HEAD"));

    std::fs::remove_file(top.join("gone")).unwrap();
    std::fs::write(top.join("kept"), "2\n").unwrap();
    std::fs::write(top.join("new"), "1\n").unwrap();
    std::fs::write(top.join("new.o"), "1\n").unwrap();
    let status = repository.git(&["status", "--porcelain"]);
    let (output, changed) = run(&top, &scratch);

    assert_eq!(changed, ["./.gitignore:*.o", "./kept:2", "./new:1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("4 files (1 changed, 1 deleted, 1 untracked), on top of HEAD"),
        "{said}"
    );
    assert_eq!(repository.git(&["status", "--porcelain"]), status);
    assert_eq!(repository.git(&["rev-list", "--all", "--count"]), "4");
    assert_eq!(
        std::fs::read_dir(&scratch).unwrap().count(),
        0,
        "something was left behind"
    );
}
