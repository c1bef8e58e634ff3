//! What the program says about this machine.

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{bin_dir, code, goatherd, text};

#[test]
fn the_doctor_names_everything_and_what_follows() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let mut command = goatherd(folder.path(), ["doctor", "--json", "--data", "data"]);
    let output = command.arg("--bin-dir").arg(bin_dir()).output().unwrap();

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "system",
            "sandbox",
            "cgroups",
            "docker",
            "podman",
            "cluster",
            "git",
            "disk",
            "clock",
            "open files"
        ]
    );
    for one in checks {
        assert!(
            ["ok", "limited", "missing"].contains(&one["state"].as_str().unwrap()),
            "{one}"
        );
        assert!(!one["found"].as_str().unwrap().is_empty(), "{one}");
    }
    // The other tests run jobs here, so they can.
    assert_eq!(report["can_run_jobs"], true, "{report}");
    assert_eq!(code(&output), 0);
    assert!(!folder.path().join("data").exists(), "it leaves nothing");
}

#[test]
fn where_nothing_can_run_the_doctor_says_so_and_ends_with_1() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();

    let output = goatherd(folder.path(), ["doctor", "--bin-dir", "."])
        .output()
        .unwrap();

    assert_eq!(code(&output), 1);
    let printed = text(&output.stdout);
    assert!(printed.contains("there is no `orchestrator`"), "{printed}");
    assert!(
        printed.ends_with("No job can run on this machine.\n"),
        "{printed}"
    );
}
