//! An end within the time that a platform gives, and reports that nobody needs any more (G22).

use std::time::{Duration, Instant};

use internal_testing::RunnerApi;
use internal_testing::runner_api::{Answer, FAIL, UNCLAIM};
use sys::process::Signal;

use crate::place::{Place, Running, another_is_tested};

#[test]
fn all_calls_together_get_ten_seconds_after_an_interruption() {
    if another_is_tested() {
        return;
    }
    // Two calls, of which neither is answered.
    let api = RunnerApi::http()
        .answering(UNCLAIM, [Answer::Never])
        .answering(FAIL, [Answer::Never]);
    let place = Place::told("write=@/up sleep")
        .reporting_to(&api)
        .with("enable_unsafe_retries", true);
    let mut command = place.command();
    command.arg("--termination-grace-period=0s");
    let running = Running::start(command);
    place.wait_for("up");

    let start = Instant::now();
    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    // The second one got its share.
    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
    assert_eq!(place.termination()["kind"], "interrupted");
    assert_eq!(place.termination()["reported"], false);
}

#[test]
fn an_interruption_shortens_a_report_that_has_begun() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http().answering(FAIL, [Answer::Never]);
    let place = Place::told("exit=7").reporting_to(&api);
    let running = place.start();
    crate::place::eventually("a call", || (!api.calls().is_empty()).then_some(()));

    let start = Instant::now();
    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn the_termination_message_is_there_before_anyone_is_called() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http().answering(FAIL, [Answer::Never]);
    let place = Place::told("exit=7").reporting_to(&api);
    let running = place.start();
    crate::place::eventually("a call", || (!api.calls().is_empty()).then_some(()));

    let message = place.termination();
    drop(running);

    assert_eq!(
        (&message["kind"], &message["exit_code"]),
        (&"task_agent_ended".into(), &7.into())
    );
}

#[test]
fn before_the_task_agent_has_started_the_task_is_given_back() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("write=@/ran")
        .reporting_to(&api)
        .with_readiness_file();
    let running = place.start();
    place.address();

    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(api.paths(), [UNCLAIM]);
    assert_eq!(place.text("ran"), "");
}

#[test]
fn a_term_that_is_there_before_anything_else_is_not_lost() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    // The entrypoint interrupts its parent before the task agent is started.
    let place = Place::told("write=@/ran")
        .reporting_to(&api)
        .with_readiness_file()
        .with_entrypoint("signal=TERM:parent sleep");

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [UNCLAIM]);
    assert_eq!(place.text("ran"), "");
}

#[test]
fn a_term_that_is_older_than_its_handlers_keeps_the_task_agent_from_starting() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("write=@/ran").reporting_to(&api);
    // It is pending when the program begins, and nothing has to be waited for.
    let interrupted = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])";
    let running = Running::start(place.command_by(&["/usr/bin/env", "python3", "-c", interrupted]));

    assert_eq!(running.end(), 0, "{}", place.log());

    assert_eq!(api.paths(), [UNCLAIM]);
    assert_eq!(place.text("ran"), "");
}

#[test]
fn a_task_that_is_over_elsewhere_counts_as_told() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http()
        .answering(UNCLAIM, [Answer::Status(410)])
        .answering(FAIL, [Answer::Status(410)]);
    let not_started = Place::told("")
        .reporting_to(&api)
        .with("task_agent_path", "/no/such/agent");
    let failed = Place::told("exit=7").reporting_to(&api);

    assert_eq!((not_started.run(), failed.run()), (0, 0));

    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
}
