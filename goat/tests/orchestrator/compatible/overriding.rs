//! `override`: a user's own init first, which ends in `exec "$@"`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::{Place, TOKEN, command, eventually, orchestrator, output};

/// A place with a wrapper that notes what it was called with, and its pid, before it executes that.
fn with_wrapper() -> (Place, String) {
    let place = Place::told("record=@/record");
    let wrapper = place.path("wrapper");
    let script = "#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done > $PLACE/words\n\
                  echo $$ > $PLACE/pid\nenv > $PLACE/environment\nexec \"$@\"\n";
    fs::write(&wrapper, script).expect("it is written");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let wrapper = wrapper.display().to_string();
    (place, wrapper)
}

fn overriding(place: &Place, words: &[&str]) -> std::process::Command {
    let mut command = command(words);
    command
        .env("PATH", "/bin")
        .env("COLOUR", "blue")
        .env("PLACE", place.path(""))
        .env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "127.0.0.1:0")
        .env("CIRCLECI_GOAT_CONFIG", place.config.to_string());
    command
}

#[test]
fn the_entrypoint_is_executed_with_run_task_as_its_arguments() {
    let (place, wrapper) = with_wrapper();
    let flag = format!("--entrypoint={wrapper},one,two words");
    let mut command = overriding(&place, &["override", &flag]);
    // What follows `run-task` are the entrypoint's other words, and `run-task` takes none.
    let (code, _, error) = output(&mut command);

    assert_ne!(code, 0, "{error}");
    let own = orchestrator().display().to_string();
    assert_eq!(place.text("words"), format!("{own}\nrun-task\none\ntwo words\n"));
}

#[test]
fn the_environment_stays_and_the_task_runs_in_the_same_process() {
    let (place, wrapper) = with_wrapper();
    let flag = format!("--entrypoint={wrapper}");
    let mut command = overriding(&place, &["override", &flag]);
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");

    let status = eventually("its end", || child.try_wait().expect("it is ours"));

    assert_eq!(status.code(), Some(0));
    assert_eq!(place.text("pid").trim(), child.id().to_string());
    assert!(
        place.text("environment").contains("COLOUR=blue\n"),
        "{}",
        place.text("environment")
    );
    let record = place.record("record");
    assert_eq!(record["stdin"], TOKEN);
    assert_eq!(record["parent"], child.id());
}

#[test]
fn the_entrypoint_may_come_from_a_variable() {
    let (place, wrapper) = with_wrapper();
    let mut command = overriding(&place, &["override"]);
    command.env("CIRCLECI_GOAT_ENTRYPOINT", &wrapper);

    let (code, _, error) = output(&mut command);

    assert_eq!(code, 0, "{error}");
    let own = orchestrator().display().to_string();
    assert_eq!(place.text("words"), format!("{own}\nrun-task\n"));
}

#[test]
fn it_takes_the_flags_of_run_task() {
    let (place, wrapper) = with_wrapper();
    let flag = format!("--entrypoint={wrapper}");
    let mut command = overriding(
        &place,
        &[
            "override",
            &flag,
            "--shutdown-delay=1s",
            "--termination-grace-period=5s",
            "--health-check-addr=127.0.0.1:0",
        ],
    );

    let (code, _, error) = output(&mut command);

    assert_eq!(code, 0, "{error}");
}

#[test]
fn an_entrypoint_that_is_not_there_is_an_error() {
    let place = Place::told("");

    let (code, _, error) = output(&mut overriding(
        &place,
        &["override", "--entrypoint=/no/such/init"],
    ));

    assert!(code != 0 && !error.is_empty(), "{code}: {error}");
}

#[test]
fn a_comma_after_a_backslash_is_part_of_a_word() {
    let (place, wrapper) = with_wrapper();
    let flag = format!("--entrypoint={wrapper},one\\,two,three,");

    let (code, _, error) = output(&mut overriding(&place, &["override", &flag]));

    assert_ne!(code, 0, "{error}");
    let own = orchestrator().display().to_string();
    assert_eq!(place.text("words"), format!("{own}\nrun-task\none,two\nthree\n"));
}
