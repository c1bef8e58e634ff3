//! `goatherd check`.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{code, goatherd, text};

const FIVE_MISTAKES: &str = "\
jobs:
  build:
    imag: golang:1.24
    steps:
      - checkout
  test:
    requires: [biuld]
    steps: nothing
  again:
    requires: [again]
    steps:
      - rnu: echo
";

fn folder(config: &str) -> TempDir {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    fs::write(folder.path().join(".ci.yml"), config).unwrap();
    folder
}

#[test]
fn five_mistakes_are_shown_at_once_each_with_its_line_and_a_caret() {
    let folder = folder(FIVE_MISTAKES);

    let output = goatherd(folder.path(), ["check", ".ci.yml"]).output().unwrap();

    assert_eq!(code(&output), 7);
    assert_eq!(text(&output.stderr), "");
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_file_that_is_no_text_is_told_with_its_place_for_people_and_for_programs() {
    let folder = folder("");
    fs::write(folder.path().join(".ci.yml"), b"jobs:\n  a\xff: {}\n").unwrap();

    let output = goatherd(folder.path(), ["check", ".ci.yml"]).output().unwrap();
    assert_eq!(code(&output), 7);
    let told = text(&output.stdout);
    assert!(told.contains(".ci.yml:2:4") && told.contains("UTF-8"), "{told}");

    let output = goatherd(folder.path(), ["check", ".ci.yml", "--json"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 7);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &report["diagnostics"][0];
    assert_eq!(
        (&report["ok"], &found["line"], &found["column"]),
        (&false.into(), &2.into(), &4.into())
    );
}

#[test]
fn json_has_the_same_mistakes_for_programs() {
    let folder = folder(FIVE_MISTAKES);

    let output = goatherd(folder.path(), ["check", ".ci.yml", "--json"])
        .output()
        .unwrap();

    assert_eq!(code(&output), 7);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let diagnostics = report["diagnostics"].as_array().unwrap();
    assert_eq!(diagnostics.len(), 5);
    for diagnostic in diagnostics {
        let keys: Vec<&String> = diagnostic.as_object().unwrap().keys().collect();
        for key in [
            "severity",
            "code",
            "message",
            "file",
            "line",
            "column",
            "suggestion",
        ] {
            assert!(
                keys.iter().any(|known| *known == key),
                "{key} is missing: {diagnostic}"
            );
        }
        assert_eq!(diagnostic["file"], ".ci.yml");
    }
    let lines: Vec<u64> = diagnostics
        .iter()
        .map(|one| one["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 7, 8, 10, 12]);
}

#[test]
fn json_has_the_same_fields_and_nothing_else_however_hostile_the_file_is() {
    let deep = "[".repeat(2000);
    let wide = format!(
        "jobs: {{a: {{imgae: x, ? {} : 木, retry: 3, steps: []}}}}\n",
        "k".repeat(50_000)
    );
    let doubled = "jobs:\n  a: {imgae: x, steps: [checkout]}\n  a: {steps: [], retry: 3}\n".to_owned();
    let many: String = (0..200).map(|key| format!("key{key}: x\n")).collect();
    let codes: [&[&str]; 4] = [
        &["too-deep"],
        &["unknown-key", "unknown-key", "bad-value", "empty"],
        &["unknown-key", "duplicate-key", "empty", "bad-value"],
        &["unknown-key", "unknown-key"],
    ];
    for (config, codes) in [deep, wide, doubled, many].iter().zip(codes) {
        let folder = folder(config);

        let output = goatherd(folder.path(), ["check", ".ci.yml", "--json"])
            .output()
            .unwrap();

        assert_eq!((code(&output), text(&output.stderr)), (7, String::new()));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report.as_object().unwrap().len(), 2);
        let diagnostics = report["diagnostics"].as_array().unwrap();
        let told: Vec<_> = diagnostics
            .iter()
            .map(|one| one["code"].as_str().unwrap())
            .collect();
        assert!(told.starts_with(codes), "{told:?}");
        assert!(
            told.len() == codes.len() || told.last() == Some(&"too-many"),
            "{told:?}"
        );
        for one in diagnostics {
            let mut keys: Vec<&str> = one.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected = [
                "severity",
                "code",
                "message",
                "file",
                "line",
                "column",
                "suggestion",
            ];
            expected.sort_unstable();
            keys.sort_unstable();
            assert_eq!(keys, expected);
            assert!(one["line"].is_u64() && one["column"].is_u64() && one["message"].is_string());
            assert!(one["suggestion"].is_string() || one["suggestion"].is_null());
            assert!(one.to_string().len() < 1000, "{one}");
        }
    }
}

#[test]
fn a_file_without_an_end_is_no_config() {
    let folder = folder("");
    let large = fs::File::create(folder.path().join("large")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("pipe", folder.path().join("link")).unwrap();

    for (file, why) in [
        ("/dev/zero", "no regular file"),
        ("pipe", "no regular file"),
        ("link", "no regular file"),
        ("large", "64 MiB"),
    ] {
        let output = goatherd(folder.path(), ["check", file]).output().unwrap();

        assert_eq!(code(&output), 1, "{file}");
        let told = text(&output.stderr);
        assert!(told.contains(file) && told.contains(why), "{told}");
    }
}

#[test]
fn a_config_may_come_through_a_pipe() {
    let folder = folder("");
    let config = "jobs:\n  build:\n    steps:\n      - run: make\n";
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(config.as_bytes()).unwrap();
    drop(writer);

    let output = goatherd(folder.path(), ["check", "/dev/stdin"])
        .stdin(reader)
        .output()
        .unwrap();

    assert_eq!(text(&output.stdout), "/dev/stdin: ok, 1 job\n", "{output:?}");
}

#[test]
fn a_valid_config_is_told_with_its_number_of_jobs() {
    let folder = folder("jobs:\n  build:\n    steps:\n      - run: make\n");

    let output = goatherd(folder.path(), ["check", ".ci.yml"]).output().unwrap();
    let json = goatherd(folder.path(), ["check", ".ci.yml", "--json"])
        .output()
        .unwrap();

    assert_eq!(
        (code(&output), text(&output.stdout)),
        (0, ".ci.yml: ok, 1 job\n".to_owned())
    );
    assert_eq!(
        (code(&json), text(&json.stdout)),
        (0, "{\"ok\":true,\"diagnostics\":[]}\n".to_owned())
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_to_programs_too() {
    let folder = folder("");
    std::fs::create_dir(folder.path().join("folder.yml")).unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    std::fs::remove_file(folder.path().join(".ci.yml")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join(".ci.yml")).unwrap();

    for (name, part) in [
        ("missing.yml", "No such file"),
        ("folder.yml", "Is a directory"),
        (".ci.yml", "leads out of the repository, to /etc/passwd"),
    ] {
        let output = goatherd(folder.path(), ["check", name, "--json"])
            .output()
            .unwrap();

        assert_eq!(code(&output), 1, "{name}");
        let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        assert_eq!(report["ok"], false);
        let found = &report["diagnostics"][0];
        assert_eq!(
            (&found["code"], &found["file"], &found["line"]),
            (&json!("unreadable"), &json!(name), &json!(0))
        );
        assert!(found["message"].as_str().unwrap().contains(part), "{found}");
        assert!(text(&output.stderr).contains(part), "{output:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure_with_its_name() {
    let folder = folder("");

    let output = goatherd(folder.path(), ["check", "missing.yml"])
        .output()
        .unwrap();

    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("missing.yml"), "{output:?}");
}
