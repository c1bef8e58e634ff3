//! The other commands: `init`, `override`, `probe`, `--version`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::place::{Place, Running, TOKEN, eventually};

fn orchestrator(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    (status.code().expect("it exits"), text(stdout), text(stderr))
}

#[test]
fn the_version_is_printed() {
    for flag in ["--version", "-v"] {
        let (code, text, _) = output(&mut orchestrator(&[flag]));
        assert_eq!((code, text.as_str()), (0, "runner-init version dev (built )\n"));
    }
}

#[test]
fn help_is_printed_and_nonsense_is_refused() {
    let (code, text, _) = output(&mut orchestrator(&["--help"]));
    assert!(code == 0 && text.contains("run-task"), "{text}");

    let (code, _, error) = output(&mut orchestrator(&["fly"]));
    assert!(
        code == 2 && error.contains("there is no command `fly`"),
        "{error}"
    );
}

#[test]
fn a_closed_output_is_no_panic() {
    let mut command = Command::new("/bin/sh");
    let status = command
        .args([
            "-c",
            "exec \"$0\" --version >&-",
            env!("CARGO_BIN_EXE_orchestrator"),
        ])
        .status();

    assert_eq!(status.expect("it runs").code(), Some(0));
}

fn binaries(folder: &Path) {
    for name in ["orchestrator", "circleci-agent"] {
        fs::write(folder.join(name), name).expect("it is written");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
}

#[test]
fn init_may_run_twice_and_is_what_runs_without_a_command() {
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries(source.path());
    let mut given = orchestrator(&["init"]);
    given.args([source.path(), destination.path()]);
    let mut by_variables = orchestrator(&[]);
    by_variables
        .env("SOURCE", source.path())
        .env("DESTINATION", destination.path());

    assert_eq!(output(&mut given), (0, String::new(), String::new()));
    assert_eq!(output(&mut by_variables), (0, String::new(), String::new()));

    let link = fs::read_link(destination.path().join("circleci")).expect("a link");
    assert_eq!(link, destination.path().join("circleci-agent"));
}

#[test]
fn an_init_that_fails_names_the_path_and_the_systems_error() {
    let source = tempfile::tempdir().expect("a folder");

    let (code, _, error) = output(orchestrator(&["init"]).arg(source.path()).arg("/no/such/folder"));

    assert_eq!(code, 1);
    let path = source.path().join("orchestrator").display().to_string();
    assert!(
        error.contains(&path) && error.contains("No such file or directory"),
        "{error}"
    );
}

#[test]
fn an_init_that_is_killed_half_way_leaves_nothing_that_looks_complete() {
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries(source.path());
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
    let mut command = orchestrator(&["init"]);
    let mut child = command
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
    binaries(source.path());
    assert_eq!(
        output(orchestrator(&["init"]).arg(source.path()).arg(destination.path())).0,
        0
    );
    assert_eq!(fs::read_dir(destination.path()).expect("a folder").count(), 3);
}

#[test]
fn override_becomes_the_entrypoint_which_executes_the_task() {
    let place = Place::new("cat > $PLACE/token");
    let script = place.path("init.sh");
    fs::write(&script, "echo \"$@\" > $PLACE/words; exec \"$@\"\n").expect("it is written");
    let wrapper = place.path("wrapper");
    fs::write(&wrapper, format!("#!/bin/sh\n. {}\n", script.display())).expect("it is written");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut command = orchestrator(&["override"]);
    command
        .arg(format!(
            "--entrypoint={},--health-check-addr=127.0.0.1:0",
            wrapper.display()
        ))
        .env("PATH", "/bin")
        .env("PLACE", place.path(""))
        .env("CIRCLECI_GOAT_CONFIG", place.config.to_string());

    let (code, _, log) = output(&mut command);

    assert_eq!(code, 0, "{log}");
    assert_eq!(place.text("token"), TOKEN);
    let own = env!("CARGO_BIN_EXE_orchestrator");
    assert_eq!(
        place.text("words"),
        format!("{own} run-task --health-check-addr=127.0.0.1:0\n")
    );
}

#[test]
fn override_without_an_entrypoint_is_refused() {
    let (code, _, error) = output(&mut orchestrator(&["override"]));

    assert!(code == 2 && error.contains("needs an entrypoint"), "{error}");
}

#[test]
fn a_probe_tells_whether_a_task_is_supervised() {
    let place = Place::new("until test -e $PLACE/go; do sleep 0.01; done");
    let running: Running = place.start();
    let address = eventually("the address", || {
        let log = place.log();
        let (_, rest) = log.split_once("app.address=")?;
        rest.split_once('\n')
            .map(|(address, _)| address.trim().to_owned())
    });

    let during = eventually("an answer", || {
        (output(&mut orchestrator(&["probe", &address])).0 == 0).then_some(0)
    });
    fs::write(place.path("go"), "").expect("it is written");
    assert_eq!(running.end(), 0);
    let (after, _, error) = output(orchestrator(&["probe"]).env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", &address));

    assert_eq!((during, after), (0, 1));
    assert!(error.contains("is not live"), "{error}");
    let (code, _, _) = output(orchestrator(&["probe"]).env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "127.0.0.1:0"));
    assert_eq!(code, 2);
}
