//! Command lines that make no sense (G17), and what `override` hands on (O3).

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use internal_testing::{RunnerApi, binaries};
use sys::process::Signal;

use crate::place::{Place, Running, another_is_tested, command, orchestrator, output};

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence() {
    if another_is_tested() {
        return;
    }
    for (words, sentence) in [
        (&["fly"][..], "there is no command `fly`"),
        (&["override"], "needs an entrypoint"),
        (&["run-task", "now"], "does not take the argument `now`"),
    ] {
        let (code, _, error) = output(&mut command(words));

        assert!(
            code == 2 && error.contains(sentence),
            "{words:?}: {code}, {error}"
        );
    }
}

#[test]
fn a_closed_output_is_no_panic() {
    if another_is_tested() {
        return;
    }
    let status = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" --version >&-"])
        .arg(orchestrator())
        .status();

    assert_eq!(status.expect("it runs").code(), Some(0));
}

#[test]
fn a_build_that_sets_neither_says_dev() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("");

    assert_eq!(place.run(), 0);

    let log = place.log();
    let first = log.lines().next().expect("it has lines");
    // The tests' own build is no release.
    assert!(
        first.ends_with("starting orchestrator app.date= app.version=dev"),
        "{first}"
    );
    assert_eq!(
        output(&mut command(&["-v"])).1,
        "runner-init version dev (built )\n"
    );
}

#[test]
fn an_entrypoint_that_is_not_there_is_named() {
    if another_is_tested() {
        return;
    }
    let mut command = command(&["override", "--entrypoint=/no/such/init"]);

    let (code, _, error) = output(&mut command);

    assert_eq!(code, 1);
    assert!(error.contains("could not execute /no/such/init"), "{error}");
}

#[test]
fn the_task_agents_folder_is_that_of_its_program_whatever_its_arguments_are() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("record=@/record");

    assert_eq!(place.run(), 0, "{}", place.log());

    let record = place.record("record");
    let path = record["environment"]["PATH"].as_str().expect("it has one");
    let agent = binaries::fake_task_agent();
    let folder = agent.parent().expect("it is in a folder");
    assert_eq!(path.rsplit(':').next().map(Path::new), Some(folder));
}

#[test]
fn flags_of_override_hold_for_the_task_that_its_entrypoint_starts() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("write=@/up sleep").reporting_to(&api);
    let mut command = command(&[
        "override",
        "--entrypoint=/usr/bin/env",
        "--shutdown-delay=1ms",
        "--termination-grace-period=100ms",
        "--health-check-addr=127.0.0.1:0",
    ]);
    // Flags win over these, there as here.
    command
        .env("CIRCLECI_GOAT_SHUTDOWN_DELAY", "30s")
        .env("CIRCLECI_GOAT_TERMINATION_GRACE_PERIOD", "30s")
        .env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "[::1]:0")
        .env("CIRCLECI_GOAT_CONFIG", place.config.to_string())
        .stdout(File::create(place.path("stdout")).expect("it is made"))
        .stderr(File::create(place.path("log")).expect("it is made"));
    let running = Running::start(command);
    place.wait_for("up");
    let address = place.address();

    let start = Instant::now();
    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(address.starts_with("127.0.0.1:"), "{address}");
}
