//! `goatherd run` on a disk that is full, or gets full.

use std::process::{Command, Output};

use serde_json::json;

use crate::program::{Repository, code, text};
use crate::run::events;

const FILLING: &str = r#"
jobs:
  fill:
    steps:
      - run: {name: fill, command: "cat /dev/zero > ~/all || true; exec sleep 1000"}
"#;

/// A run with a temporary folder of this size, in a mount namespace that ends with it, for a minute and a half at
/// most. None where this user may not mount.
fn run_with(repository: &Repository, size: &str) -> Option<Output> {
    if !is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI this test runs as root, which alone may mount a disk"
        );
        #[expect(clippy::print_stdout, reason = "who reads the test's output must see it")]
        {
            println!("skipped: only root may mount a disk of its own");
        }
        return None;
    }
    let run = repository.run(&["--json"]);
    let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$TMPDIR\" && exec timeout 90 \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &mount, "sh"]);
    command.arg(run.get_program()).args(run.get_args());
    command.current_dir(repository.top());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command.output().unwrap())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn ends_with_a_full_disk(output: &Output) {
    let said = text(&output.stderr);
    assert_eq!(code(output), 1, "{said}");
    let events = events(&output.stdout);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["outcome"], &last["cause"]["kind"]),
        (
            &json!("pipeline.finished"),
            &json!("infra_failed"),
            &json!("disk_full")
        ),
        "{said}"
    );
}

#[test]
fn a_snapshot_that_has_no_room_is_told() {
    let repository = Repository::with(&[(".ci.yml", FILLING)]);
    repository.write("large", &"0123456789abcdef".repeat(512 * 1024));

    let Some(output) = run_with(&repository, "4m") else {
        return;
    };

    ends_with_a_full_disk(&output);
    let said = text(&output.stderr);
    assert!(
        said.contains("there is no room left for the snapshot in "),
        "{said}"
    );
}

#[test]
fn a_disk_that_a_job_fills_ends_the_run() {
    let repository = Repository::with(&[(".ci.yml", FILLING)]);

    let Some(output) = run_with(&repository, "64m") else {
        return;
    };

    ends_with_a_full_disk(&output);
    let said = text(&output.stderr);
    assert!(
        said.contains("is full, so that nothing more of this run can be recorded"),
        "{said}"
    );
}
