//! TERM and INT.

use std::time::{Duration, Instant};

use internal_testing::RunnerApi;
use internal_testing::runner_api::{Answer, FAIL};
use sys::process::Signal;

use crate::place::{Place, Running, eventually};

const STILL_RUNNING: &str = "error on shutdown: task agent process is still running, which could interrupt the task. Possible \
     reasons include the Pod being evicted or deleted: Check container logs for more details";

#[test]
fn the_task_agent_may_end_by_itself_within_delay_and_grace() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let api = RunnerApi::http();
        let place = Place::told("write=@/up await=@/go write=@/done").reporting_to(&api);
        let mut command = place.command();
        command.args(["--shutdown-delay=20s", "--termination-grace-period=20s"]);
        let running = Running::start(command);
        place.wait_for("up");

        running.signal_once_taken(signal);
        place.make("go");

        assert_eq!(running.end(), 0, "{}", place.log());
        assert_eq!(place.text("done"), "written\n");
        assert!(api.calls().is_empty());
    }
}

#[test]
fn one_that_goes_on_is_killed_and_reported_as_failed() {
    let api = RunnerApi::http();
    let place = Place::told("ignore=TERM write=@/up sleep").reporting_to(&api);
    let mut command = place.command();
    command.arg("--termination-grace-period=100ms");
    let running = Running::start(command);
    place.wait_for("up");

    running.signal_once_taken(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    eventually("the task agent's end", || {
        place.processes().is_empty().then_some(())
    });
    assert_eq!(api.paths(), [FAIL]);
    assert_eq!(api.calls()[0].message(), STILL_RUNNING);
}

#[test]
fn the_grace_begins_after_the_delay() {
    let api = RunnerApi::http();
    let place = Place::told("write=@/up sleep").reporting_to(&api);
    let mut command = place.command();
    command
        .env("CIRCLECI_GOAT_SHUTDOWN_DELAY", "600ms")
        .env("CIRCLECI_GOAT_TERMINATION_GRACE_PERIOD", "700ms");
    let running = Running::start(command);
    place.wait_for("up");

    let start = Instant::now();
    running.signal_once_taken(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(
        start.elapsed() >= Duration::from_millis(1300),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(api.paths(), [FAIL]);
}

#[test]
fn without_flags_there_is_no_delay_and_ten_seconds_of_grace() {
    let api = RunnerApi::http();
    let place = Place::told("write=@/up sleep").reporting_to(&api);
    let running = place.start();
    place.wait_for("up");

    let start = Instant::now();
    running.signal_once_taken(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    let took = start.elapsed();
    // Up to 2 seconds for what does not die, and a slow machine.
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_secs(17),
        "{took:?}"
    );
}

#[test]
fn the_exit_code_is_zero_also_when_nobody_could_be_told() {
    let api = RunnerApi::http().answering(FAIL, [Answer::Status(403)]);
    let place = Place::told("write=@/up sleep").reporting_to(&api);
    let mut command = place.command();
    command.arg("--termination-grace-period=0s");
    let running = Running::start(command);
    place.wait_for("up");

    running.signal_once_taken(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(api.paths(), [FAIL]);
}
