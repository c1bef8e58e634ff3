//! Streams that are closed, held open, or not read (G8, G17).

use std::process::Stdio;
use std::time::{Duration, Instant};

use internal_testing::RunnerApi;
use internal_testing::runner_api::FAIL;

use crate::place::{Place, Running, another_is_tested};

#[test]
fn a_token_longer_than_a_pipe_arrives_whole() {
    if another_is_tested() {
        return;
    }
    let token = "0123456789".repeat(50_000);
    let place = Place::told("record=@/record").with("token", token.as_str());

    let code = Running::start(place.command_with_file()).end();

    assert_eq!(code, 0, "{}", place.log());
    assert_eq!(place.record("record")["stdin"], token.as_str());
}

#[test]
fn a_task_agent_that_does_not_read_its_token_holds_up_nothing() {
    if another_is_tested() {
        return;
    }
    for words in ["exit=0", "close=stdin sleep=50"] {
        let place = Place::told(words).with("token", "0123456789".repeat(50_000));

        let code = Running::start(place.command_with_file()).end();

        assert_eq!(code, 0, "{words}: {}", place.log());
    }
}

#[test]
fn a_process_that_holds_the_task_agents_streams_holds_up_nothing() {
    if another_is_tested() {
        return;
    }
    let place = Place::told(
        "child=write=@/a,sleep orphan=session,write=@/b,sleep await=@/a await=@/b complain=last-words",
    );
    let start = Instant::now();

    assert_eq!(place.run(), 0, "{}", place.log());

    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(place.log().contains("last-words"), "{}", place.log());
    assert!(place.processes().is_empty(), "{:?}", place.processes());
}

#[test]
fn closed_streams_are_no_reason_to_fail() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("say=out complain=error write=@/ran");
    let closing = ["/bin/sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];

    assert_eq!(place.run_by(&closing), 0);

    assert_eq!(place.text("ran"), "written\n");
}

#[test]
fn a_task_agent_may_close_all_its_streams() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("close=stdin close=stdout close=stderr sleep=50 exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [FAIL]);
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("orphan=flood=300000 write=@/ran");
    let mut command = place.command();
    command.stderr(Stdio::piped());

    // The pipe stays open, and nobody reads it.
    let running = Running::start(command);

    assert_eq!(running.end(), 0);
    assert_eq!(place.text("ran"), "written\n");
}

#[test]
fn a_flood_of_logs_passes_whole_and_its_ends_are_told() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("flood=5000000 exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0);

    let passed = place.log().matches('x').count();
    assert!(passed >= 5_000_000, "{passed}");
    let told = api.calls()[0].message();
    assert!(told.contains("\n... omitting 4999680 bytes ...\n"), "{told}");
}

#[test]
fn lines_of_the_log_come_at_once() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("write=@/up await=@/go");
    let start = Instant::now();
    let running = place.start();
    place.wait_for("up");

    place.wait_for_log("the task agent has started");

    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    place.make("go");
    assert_eq!(running.end(), 0);
}
