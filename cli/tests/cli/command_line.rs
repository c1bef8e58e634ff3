//! What the program says about itself, and about calls that make no sense.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::program::{bin_dir, code, goatherd, text};

fn call(folder: &Path, arguments: &[&str]) -> Output {
    goatherd(folder, arguments).output().unwrap()
}

#[test]
fn calls_that_make_no_sense_end_with_2_and_a_sentence() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    for (arguments, word) in [
        (&["frobnicate"][..], "frobnicate"),
        (&[][..], "Usage"),
        (&["server"][..], "--config"),
        (
            &["server", "--data", "d", "--repository", "nonsense"][..],
            "NAME=SOURCE",
        ),
        (
            &["agent", "--server", "http://127.0.0.1:1"][..],
            "GOATHERD_AGENT_TOKEN",
        ),
        (&["follow", "p-1"][..], "GOATHERD_URL"),
        (
            &["follow", "p-1", "--server", "http://127.0.0.1:1"][..],
            "GOATHERD_TOKEN",
        ),
        (&["follow", "no id"][..], "pipeline id"),
        (&["token", "create"][..], "--class"),
        (&["check"][..], "FILE"),
    ] {
        let output = call(folder.path(), arguments);

        assert_eq!(code(&output), 2, "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(word), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

#[test]
fn a_server_for_development_listens_on_loopback_only() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let output = goatherd(
        folder.path(),
        ["server", "--dev", "--data", "d", "--listen", "0.0.0.0:0"],
    )
    .arg("--bin-dir")
    .arg(bin_dir())
    .output()
    .unwrap();

    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("loopback"), "{output:?}");
}

#[test]
fn help_names_each_command_and_the_exit_codes() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let output = call(folder.path(), &["--help"]);

    assert_eq!(code(&output), 0);
    let help = text(&output.stdout);
    for word in [
        "server",
        "agent",
        "run",
        "check",
        "token",
        "follow",
        "audit",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(!help.contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn a_token_is_never_an_argument() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    for command in [
        &["agent"][..],
        &["follow"],
        &["audit"],
        &["token", "create"],
        &["webhook", "send"],
    ] {
        let help = text(&call(folder.path(), &[command, &["--help"]].concat()).stdout);

        assert!(
            !help.contains("--token <") && !help.contains("--secret <"),
            "{help}"
        );
    }
}

#[test]
fn a_token_made_beside_a_stopped_server_is_all_that_is_printed() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let output = call(
        folder.path(),
        &["token", "create", "--class", "default", "--data", "data"],
    );

    assert_eq!(code(&output), 0, "{output:?}");
    let printed = text(&output.stdout);
    assert_eq!(printed.lines().count(), 1);
    assert!(printed.trim().len() >= 32, "{printed}");
}

#[test]
fn a_data_folder_goes_before_a_server_in_the_environment() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let output = goatherd(
        folder.path(),
        ["token", "create", "--class", "default", "--data", "data"],
    )
    .env("GOATHERD_URL", "http://127.0.0.1:1")
    .output()
    .unwrap();

    assert_eq!(code(&output), 0, "{output:?}");
}

#[test]
fn a_missing_binary_is_named_before_anything_starts() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let output = goatherd(
        folder.path(),
        [
            "agent",
            "--server",
            "http://127.0.0.1:1",
            "--state",
            "s",
            "--bin-dir",
            ".",
        ],
    )
    .env("GOATHERD_AGENT_TOKEN", "token")
    .output()
    .unwrap();

    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("`orchestrator`"), "{output:?}");
    assert!(!folder.path().join("s").exists());
}
