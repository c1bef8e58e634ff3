//! A task that fills the disk on which its termination message is to be.

use std::fs;

use internal_testing::mounts;
use serde_json::json;

/// Mounts a small disk, which goes with the mount namespace, and runs the orchestrator.
const SCRIPT: &str = r#"
    mount -t tmpfs -o size=64k goatherd-full "$DISK" &&
    "$ORCHESTRATOR" run-task --health-check-addr=127.0.0.1:0 >&2 && cat "$DISK/termination" "$DISK/../full"
"#;
const AGENT: &str = r#"
    head -c 1m /dev/zero > "$DISK/fill"
    echo x > "$DISK/more" && test -s "$DISK/more" || echo full > "$DISK/../full"
"#;

#[test]
fn a_full_disk_takes_the_termination_message() {
    let Some(mut command) = mounts::unshared() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (disk, agent) = (folder.path().join("disk"), folder.path().join("agent"));
    fs::create_dir(&disk).expect("it is made");
    fs::write(&agent, AGENT).expect("it is written");
    let config = json!({
        "task_id": "task-1",
        "token": "the-task-token",
        "task_agent_path": format!("/bin/sh {}", agent.display()),
        "termination_message_path": disk.join("termination"),
    });

    let output = command
        .args(["/bin/sh", "-c", SCRIPT])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DISK", &disk)
        .env("ORCHESTRATOR", env!("CARGO_BIN_EXE_orchestrator"))
        .env("CIRCLECI_GOAT_CONFIG", config.to_string())
        .output()
        .expect("unshare runs");

    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}\n{log}", output.status);
    assert!(said.ends_with("full\n"), "the disk was not full: {said}\n{log}");
    assert!(said.starts_with(r#"{"kind":"completed""#), "{said}\n{log}");
}
