//! In namespaces, without an engine.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use internal_testing::runner_api::FAIL;
use internal_testing::{binaries, processes, wait};

use crate::task::{TOKEN, Task};

/// Whether namespaces can be made here; it says where not.
fn allowed() -> bool {
    let allowed = Command::new("/usr/bin/unshare")
        .args(["--mount", "--pid", "--fork", "/bin/true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        println!("skipped: namespaces cannot be made here");
        assert!(std::env::var_os("CI").is_none(), "namespaces cannot be made here");
    }
    allowed
}

/// `unshare` with a root of its own.
fn in_root(root: &Path, more: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child"]
        .map(str::to_owned)
        .to_vec();
    words.push(format!("--root={}", root.display()));
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}

fn run_in_root(task: &Task, more: &[&str]) -> Option<i32> {
    let starter = in_root(&task.root(), more);
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    task.start(&starter, Path::new("/orchestrator")).end().code()
}

/// Makes the root read-only for what `unshare` starts, and mounts `proc` in it where it has a folder for it.
fn run_in_read_only_root(task: &Task, more: &[&str]) -> Option<i32> {
    const SCRIPT: &str = "mount --bind \"$ROOT\" \"$ROOT\" && mount -o remount,bind,ro \"$ROOT\" || exit 99
        if test -d \"$ROOT/proc\"; then mount -t proc proc \"$ROOT/proc\" || exit 98; fi
        exec /usr/bin/unshare --root=\"$ROOT\" \"$@\"";
    let root = format!("ROOT={}", task.root().display());
    let mut starter = vec![
        "/usr/bin/unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "/usr/bin/env",
        &root,
        "/bin/sh",
        "-c",
        SCRIPT,
        "sh",
    ];
    starter.extend(more);
    task.start(&starter, Path::new("/orchestrator")).end().code()
}

const NOBODY: [&str; 2] = ["--setgid=65534", "--setuid=65534"];

#[test]
fn it_runs_as_a_plain_child() {
    let task = Task::on_this_machine("record=- exit=7");
    let running = task.start(&[], &binaries::folder().join("orchestrator"));
    let pid = running.pid();

    assert_eq!(running.end().code(), Some(0), "{}", task.log());

    let record = task.record();
    assert_eq!(
        (&record["parent"], &record["stdin"]),
        (&pid.into(), &TOKEN.into())
    );
    assert_eq!(task.api.paths(), [FAIL]);
}

#[test]
fn it_runs_as_pid_1_of_a_namespace() {
    if !allowed() {
        return;
    }
    let task = Task::on_this_machine("record=- orphan=session,ignore=TERM,say=up,sleep exit=7");
    let starter = [
        "/usr/bin/unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
    ];

    let running = task.start(&starter, &binaries::folder().join("orchestrator"));

    assert_eq!(running.end().code(), Some(0), "{}", task.log());
    let record = task.record();
    assert_eq!((&record["parent"], &record["stdin"]), (&1.into(), &TOKEN.into()));
    assert_eq!(task.api.paths(), [FAIL]);
}

#[test]
fn it_runs_in_an_empty_root_with_nothing_but_the_binaries() {
    if !allowed() {
        return;
    }
    let task = Task::in_root("record=- orphans=5 complain=no-luck exit=7");

    assert_eq!(run_in_root(&task, &[]), Some(0), "{}", task.log());

    let record = task.record();
    assert_eq!((&record["parent"], &record["stdin"]), (&1.into(), &TOKEN.into()));
    assert_eq!(task.api.paths(), [FAIL]);
    let message = task.api.calls()[0].message();
    assert!(message.contains("exit status 7: no-luck\n"), "{message}");
}

#[test]
fn it_tells_where_kubernetes_looks_if_there_is_such_a_file() {
    if !allowed() {
        return;
    }
    let task = Task::in_root("exit=7");
    std::fs::create_dir(task.root().join("dev")).unwrap();
    let file = task.root().join("dev/termination-log");
    std::fs::write(&file, "").unwrap();

    assert_eq!(run_in_root(&task, &[]), Some(0), "{}", task.log());

    let message: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (&message["kind"], &message["reported"]),
        (&"task_agent_ended".into(), &true.into())
    );
}

#[test]
fn it_runs_in_a_root_that_cannot_be_written_to() {
    if !allowed() {
        return;
    }
    // The second act cannot be done there, and says so.
    let task = Task::in_root("record=- write=/file");

    assert_eq!(run_in_read_only_root(&task, &[]), Some(0), "{}", task.log());

    assert_eq!(task.record()["parent"], 1);
    let message = task.api.calls()[0].message();
    assert!(
        message.contains("exit status 65: fake_task_agent: Read-only file system"),
        "{message}"
    );
}

#[test]
fn it_runs_without_any_privilege() {
    if !allowed() {
        return;
    }
    let task = Task::in_root("record=- exit=7");
    std::fs::create_dir(task.root().join("proc")).unwrap();

    assert_eq!(run_in_read_only_root(&task, &NOBODY), Some(0), "{}", task.log());

    let record = task.record();
    assert_eq!((&record["uid"], &record["gid"]), (&65534.into(), &65534.into()));
    assert_eq!(record["capabilities"], "0000000000000000");
    assert_eq!(record["parent"], 1);
    // The kernel would take the task agent first.
    let score = |name: &str| record[name].as_i64().unwrap();
    assert_eq!(
        score("oom_score_adj"),
        (score("oom_score_adj_of_parent") + 100).min(1000)
    );
    assert_eq!(task.api.paths(), [FAIL]);
}

#[test]
fn it_runs_with_nothing_at_all() {
    if !allowed() {
        return;
    }
    // No file, no `/proc`, nothing to write to, no privilege.
    let task = Task::in_root("record=- orphans=5 exit=7");

    assert_eq!(run_in_read_only_root(&task, &NOBODY), Some(0), "{}", task.log());

    let record = task.record();
    assert_eq!((&record["uid"], &record["stdin"]), (&65534.into(), &TOKEN.into()));
    assert_eq!(task.api.paths(), [FAIL]);
}

#[test]
fn a_term_from_outside_ends_it_in_its_own_way() {
    if !allowed() {
        return;
    }
    let mut task =
        Task::in_root("on=TERM,say=heard,exit=0 orphan=session,ignore=TERM,say=beside,sleep say=up sleep");
    task.config["notify_task_agent"] = true.into();
    let starter = in_root(&task.root(), &[]);
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    let running = task.start(&starter, Path::new("/orchestrator"));
    task.wait_for_output("beside\n");
    task.wait_for_output("up\n");
    let init = wait::until("PID 1", Duration::from_secs(20), || {
        processes::children(running.pid()).first().copied()
    });
    let below = processes::children(init);

    processes::signal(init, "TERM");

    assert_eq!(running.end().code(), Some(0), "{}", task.log());
    task.wait_for_output("heard\n");
    assert!(task.api.calls().is_empty());
    assert!(
        below.len() >= 2 && !below.iter().any(|pid| processes::runs(*pid)),
        "{below:?}"
    );
}
