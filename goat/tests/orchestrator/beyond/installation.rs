//! `init` may be repeated and broken off (G4, G17).

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::place::{another_is_tested, binaries_in, command, eventually, orchestrator, output};
use crate::starters::with_own_mounts;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn it_may_run_twice() {
    if another_is_tested() {
        return;
    }
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries_in(source.path());

    for _ in 0..2 {
        let mut command = command(&["init"]);
        command.arg(source.path()).arg(destination.path());
        assert_eq!(output(&mut command), (0, String::new(), String::new()));
    }

    assert_eq!(
        names(destination.path()),
        ["circleci", "circleci-agent", "orchestrator"]
    );
}

#[test]
fn one_that_is_killed_half_way_leaves_nothing_that_looks_complete() {
    if another_is_tested() {
        return;
    }
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries_in(source.path());
    // A source that never ends: what was written into it is copied, and then the copy waits.
    let pipe = source.path().join("orchestrator");
    fs::remove_file(&pipe).expect("it is ours");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("it runs")
            .success()
    );
    let mut command_line = command(&["init"]);
    let mut child = command_line
        .arg(source.path())
        .arg(destination.path())
        .spawn()
        .expect("it starts");
    let mut writer = fs::OpenOptions::new()
        .write(true)
        .open(&pipe)
        .expect("someone reads");
    writer.write_all(b"the first half").expect("it is taken");
    eventually("half a copy", || {
        let mut entries = fs::read_dir(destination.path()).expect("a folder");
        entries
            .any(|entry| entry.expect("listed").metadata().is_ok_and(|file| file.len() > 0))
            .then_some(())
    });

    child.kill().expect("it is ours");
    child.wait().expect("it is ours");

    for name in ["orchestrator", "circleci-agent", "circleci"] {
        assert!(!destination.path().join(name).exists(), "{name}");
    }
    drop(writer);
    fs::remove_file(&pipe).expect("it is ours");
    binaries_in(source.path());
    let mut again = command(&["init"]);
    assert_eq!(output(again.arg(source.path()).arg(destination.path())).0, 0);
    assert_eq!(names(destination.path()).len(), 3);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = with_own_mounts() else { return };
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries_in(source.path());
    fs::write(source.path().join("circleci-agent"), vec![b'x'; 300_000]).expect("it is written");
    // A disk of 64 KiB, which nobody else sees.
    let script = "mount -t tmpfs -o size=64k none \"$2\" && { \"$0\" init \"$1\" \"$2\"; echo \"code $?\"; ls -A \"$2\"; }";
    let mut inside = Command::new(starter[0]);
    inside
        .args(&starter[1..])
        .args(["/bin/sh", "-c", script])
        .arg(orchestrator())
        .arg(source.path())
        .arg(destination.path());

    let (_, text, error) = output(&mut inside);

    assert_eq!(text, "code 1\norchestrator\n", "{error}");
    assert!(
        error.contains("circleci-agent") && error.contains("No space left on device"),
        "{error}"
    );
}

#[test]
fn permission_bits_do_not_lose_what_the_umask_takes() {
    if another_is_tested() {
        return;
    }
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries_in(source.path());
    let mut inside = Command::new("/bin/sh");
    inside
        .args(["-c", "umask 077 && exec \"$0\" init \"$1\" \"$2\""])
        .arg(orchestrator())
        .arg(source.path())
        .arg(destination.path());

    assert_eq!(output(&mut inside).0, 0);

    let agent = fs::metadata(destination.path().join("circleci-agent")).expect("it is there");
    assert_eq!(agent.permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_source_alone_is_enough() {
    if another_is_tested() {
        return;
    }
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries_in(source.path());
    let mut command = command(&["init"]);
    command.arg(source.path()).env("DESTINATION", destination.path());

    assert_eq!(output(&mut command).0, 0);

    assert_eq!(names(destination.path()).len(), 3);
}
