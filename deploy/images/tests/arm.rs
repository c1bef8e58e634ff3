//! The programs for ARM, under an emulator. CI leaves this out, because it builds none of them: `./do arm` runs it.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{stdout, workspace};

const QEMU: &str = "/usr/bin/qemu-aarch64-static";
/// Gives this command a `binfmt_misc` of its own (its user namespace's, since Linux 6.7), in which programs for
/// 64-bit ARM are run by qemu; nothing of the machine is changed. The magic and the mask are those of qemu's own
/// `qemu-binfmt-conf.sh`. `F`: opened now, so that it works in other roots too. `P`: argv[0] is kept.
const AS_ARM: &str = r#"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf '%s' ':arm:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' > /proc/sys/fs/binfmt_misc/register
exec "$@"
"#;

/// The programs for ARM that `./do images` or `./do arm` has built.
fn shipped(name: &str) -> PathBuf {
    let path = workspace().join("target/ship/arm64").join(name);
    assert!(path.is_file(), "{} is missing: run `./do arm`", path.display());
    path
}

#[test]
#[ignore = "needs programs for ARM and qemu: ./do arm"]
fn the_programs_start() {
    for (name, said) in [
        ("orchestrator", "runner-init version"),
        ("circleci-agent", "circleci-agent"),
    ] {
        let output = Command::new(QEMU)
            .arg(shipped(name))
            .arg("--version")
            .output()
            .unwrap();

        assert!(stdout(&output).contains(said), "{name}: {}", stdout(&output));
    }
}

#[test]
#[ignore = "needs programs for ARM and qemu: ./do arm"]
fn init_fills_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let source = shipped("orchestrator");
    let source = source.parent().unwrap();

    let output = Command::new(QEMU)
        .arg(shipped("orchestrator"))
        .arg("init")
        .args([source, folder.path()])
        .output();

    stdout(&output.unwrap());
    for name in ["orchestrator", "circleci-agent"] {
        assert!(fs::read(folder.path().join(name)).unwrap() == fs::read(source.join(name)).unwrap());
    }
    assert_eq!(
        fs::read_link(folder.path().join("circleci")).unwrap(),
        folder.path().join("circleci-agent")
    );
}

/// GOAT as PID 1 with a task agent that leaves orphans, and then ends in this way. Our own task agent cannot go on
/// here: qemu's emulation of single programs has no `PR_SET_CHILD_SUBREAPER`.
fn run_task(folder: &Path, end: &str) -> Output {
    let agent = shipped("fake_task_agent");
    let record = folder.join("record");
    let config = serde_json::json!({
        "task_agent_path": format!("{} record={} orphans=20 {end}", agent.display(), record.display()),
        "token": "token",
        "task_id": "task",
        "allocation": "allocation",
        "runner_api_base_url": "http://127.0.0.1:1",
    });
    Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-euc",
            AS_ARM,
            "sh",
        ])
        .arg(shipped("orchestrator"))
        .args(["run-task", "--health-check-addr=127.0.0.1:0"])
        .env("CIRCLECI_GOAT_CONFIG", config.to_string())
        .output()
        .unwrap()
}

#[test]
#[ignore = "needs programs for ARM and qemu: ./do arm"]
fn goat_runs_a_task_agent_to_its_end() {
    let folder = tempfile::tempdir().unwrap();

    let good = run_task(folder.path(), "exit=0");

    assert_eq!(good.status.code(), Some(0), "{}", common::stderr(&good));
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("record")).unwrap()).unwrap();
    assert_eq!(record["parent"], 1, "{record}");
    assert_eq!(record["stdin"].as_str().unwrap().trim(), "token", "{record}");
}

#[test]
#[ignore = "needs programs for ARM and qemu: ./do arm"]
fn goat_tells_how_a_task_agent_failed() {
    let folder = tempfile::tempdir().unwrap();

    let bad = run_task(folder.path(), "exit=3");

    let log = String::from_utf8_lossy(&bad.stdout) + String::from_utf8_lossy(&bad.stderr);
    assert!(log.contains("exit status 3"), "{log}");
}
