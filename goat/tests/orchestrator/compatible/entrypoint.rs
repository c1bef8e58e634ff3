//! The custom entrypoint, which runs beside the task agent.

use std::process::Stdio;

use internal_testing::RunnerApi;
use internal_testing::runner_api::FAIL;
use sys::process::Signal;

use crate::place::{Place, Running, eventually};

#[test]
fn it_has_its_own_process_group_and_dies_with_the_orchestrator() {
    let place = Place::told("sleep").with_entrypoint("record=@/record sleep");
    let running = place.start();
    let record = place.record("record");

    assert_eq!(record["group"], record["pid"]);
    assert_eq!(record["death_signal"], "SIGKILL");
    running.signal(Signal::SIGKILL);
    eventually("the entrypoint's end", || {
        place.processes().is_empty().then_some(())
    });
}

#[test]
fn nothing_is_on_its_standard_input() {
    let place = Place::told("await=@/record").with_entrypoint("record=@/record");
    let mut command = place.command();
    // Open for as long as the orchestrator runs, so that who has it waits.
    command.stdin(Stdio::piped());

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    assert_eq!(place.record("record")["stdin"], "");
}

#[test]
fn the_usual_signals_are_handed_to_it() {
    // INT and TERM also ask for the end, which the task agent brings about itself.
    let place = Place::told("write=@/started await=@/terminated").with_entrypoint(
        "on=HUP,write=@/hangup on=QUIT,write=@/quit on=INT,write=@/interrupted on=TERM,write=@/terminated \
         write=@/up sleep",
    );
    let running = place.start();
    place.wait_for("up");
    place.wait_for("started");

    for (signal, file) in [(Signal::SIGHUP, "hangup"), (Signal::SIGQUIT, "quit")] {
        running.signal_once_taken(signal);
        place.wait_for(file);
    }
    running.signal_once_taken(Signal::SIGTERM);
    place.wait_for("terminated");

    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn an_interrupt_is_handed_to_it_too() {
    let place = Place::told("write=@/started await=@/interrupted")
        .with_entrypoint("on=INT,write=@/interrupted write=@/up sleep");
    let running = place.start();
    place.wait_for("up");
    place.wait_for("started");

    running.signal_once_taken(Signal::SIGINT);

    place.wait_for("interrupted");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn one_that_cannot_start_fails_the_task() {
    let api = RunnerApi::http();
    let place = Place::told("write=@/ran")
        .reporting_to(&api)
        .with("cmd", ["/no/such/entrypoint", "-x"].as_slice());

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), [FAIL]);
    let message = api.calls()[0].message();
    let words = "error starting custom entrypoint [/no/such/entrypoint -x]: ";
    assert!(
        message.starts_with(words) && message.ends_with(": Check container logs for more details"),
        "{message}"
    );
    assert_eq!(place.text("ran"), "");
}
