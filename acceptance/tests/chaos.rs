//! A short run of `./do chaos`: of a seed that is always the same, and of one that is not.

use std::process::Command;

use internal_testing::binaries;

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
