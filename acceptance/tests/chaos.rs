//! Short runs of `./do chaos`: of a seed that is always the same, and of one that is not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use internal_testing::{binaries, mounts};

/// Half a minute of kills, and what runs then is let end.
const MINUTES: &str = "0.4";

fn chaos(seed: Option<&str>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command
        .args(["--minutes", MINUTES])
        .env("GOATHERD_BIN", binaries::folder());
    if let Some(seed) = seed {
        command.args(["--seed", seed]);
    }

    let output = command.output().expect("chaos runs");

    // It names its seed, which is all that one needs to see it again.
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("every promise was kept"),
        "{}:\n{said}\n{complained}",
        output.status
    );
}

#[test]
fn kills_that_a_known_seed_decides_break_no_promise() {
    chaos(Some("1"));
}

#[test]
fn kills_that_a_random_seed_decides_break_no_promise() {
    chaos(None);
}

/// Tasks of a short run.
const TASKS: &str = "300";

/// `chaos --goat`, whose mounts go with it; none where there can be no mounts.
fn goat(arguments: &[&str], binaries: &Path) -> Option<Output> {
    let mut command = mounts::unshared()?;
    command
        .args([env!("CARGO_BIN_EXE_chaos"), "--goat"])
        .args(arguments)
        .env("GOATHERD_BIN", binaries);
    Some(command.output().expect("chaos runs"))
}

#[test]
fn short_tasks_that_misbehave_break_no_promise_of_goat() {
    for seed in [&["--seed", "1"][..], &[]] {
        let arguments = [&["--tasks", TASKS], seed].concat();

        let Some(output) = goat(&arguments, &binaries::folder()) else {
            return;
        };

        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("every promise was kept"),
            "{}:\n{said}\n{complained}",
            output.status
        );
    }
}

#[test]
fn a_goat_that_does_nothing_keeps_no_promise() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["goatherd", "circleci-agent", "orchestrator"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\n").expect("it is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    let Some(output) = goat(&["--seed", "1", "--tasks", "20"], folder.path()) else {
        return;
    };

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("there is no termination message"), "{said}");
    let kept = said
        .lines()
        .find_map(|line| line.strip_suffix(" is kept"))
        .and_then(|line| line.strip_prefix("chaos: "))
        .expect("it says what it kept");
    std::fs::remove_dir_all(kept).expect("it was kept");
}
