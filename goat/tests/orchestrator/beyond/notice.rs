//! A task agent that hears of the end, and a start that can be told from another (G15, G23).

use std::time::{Duration, Instant};

use internal_testing::RunnerApi;
use sys::process::Signal;

use crate::place::{Place, Running, another_is_tested};

#[test]
fn a_task_agent_that_is_notified_ends_in_its_own_way() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("on=TERM,append=@/heard,exit=0 write=@/up sleep")
        .reporting_to(&api)
        .with("notify_task_agent", true);
    let running = place.start();
    place.wait_for("up");

    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("heard"), "again\n");
    assert!(api.calls().is_empty());
}

#[test]
fn it_is_notified_at_once_and_not_after_the_delay() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("on=TERM,exit=0 write=@/up sleep").with("notify_task_agent", true);
    let mut command = place.command();
    command.arg("--shutdown-delay=1m");
    let running = Running::start(command);
    place.wait_for("up");

    let start = Instant::now();
    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn without_the_key_it_is_left_alone() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("on=TERM,append=@/heard write=@/up await=@/go");
    let running = place.start();
    place.wait_for("up");

    running.signal(Signal::SIGTERM);
    place.wait_for_log("interrupted by SIGTERM");
    place.make("go");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("heard"), "");
}

#[test]
fn a_repeated_signal_is_handed_on_once() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("on=TERM,append=@/heard write=@/up await=@/go")
        .with_entrypoint("on=TERM,append=@/heard-beside on=USR1,write=@/later write=@/up-beside sleep")
        .with("notify_task_agent", true);
    let running = place.start();
    place.wait_for("up");
    place.wait_for("up-beside");
    running.signal(Signal::SIGTERM);
    place.wait_for("heard");
    place.wait_for("heard-beside");

    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1] {
        running.signal(signal);
    }
    // It was sent last, so the others were dealt with.
    place.wait_for("later");
    place.make("go");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(
        (place.text("heard"), place.text("heard-beside")),
        ("again\n".to_owned(), "again\n".to_owned())
    );
}

#[test]
fn the_instance_is_shared_where_it_is_asked_for() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let sharing = |name: &str| {
        let place = Place::told("record=@/record exit=1")
            .reporting_to(&api)
            .with("share_instance", true);
        assert_eq!(place.run(), 0, "{name}: {}", place.log());
        let record = place.record("record");
        record["environment"]["GOATHERD_INSTANCE"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };

    let (first, second) = (sharing("first"), sharing("second"));

    assert!(first.len() >= 16 && first != second, "{first} {second}");
    let sent: Vec<_> = api
        .calls()
        .iter()
        .map(|call| call.header("x-goatherd-instance").map(str::to_owned))
        .collect();
    assert_eq!(sent, [Some(first), Some(second)]);
}

#[test]
fn without_the_key_there_is_no_instance() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("record=@/record exit=1").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.calls()[0].header("x-goatherd-instance"), None);
    assert_eq!(
        place.record("record")["environment"].get("GOATHERD_INSTANCE"),
        None
    );
}
