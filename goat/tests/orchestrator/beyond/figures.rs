//! `/metrics` (G11).

use internal_testing::RunnerApi;
use internal_testing::runner_api::{Answer, FAIL, UNCLAIM};
use sys::process::Signal;

use crate::place::{Place, another_is_tested, eventually, get};

/// The value of a figure.
fn figure(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {name} in {text}"));
    line.parse().expect("a number")
}

#[test]
fn figures_tell_of_the_task_and_of_what_was_collected() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("orphan=allocate=20000000,exit=0 write=@/made await=@/go");
    let running = place.start();
    place.wait_for("made");
    let address = place.address();

    let text = eventually("an orphan that was collected", || {
        let text = get(&address, "/metrics");
        text.contains("goat_orphans_reaped_total 1\n").then_some(text)
    });

    assert!(
        text.to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    let value = |name| figure(&text, name);
    assert!((value("goat_task_running") - 1.0).abs() < f64::EPSILON);
    assert!(value("goat_reaped_total") >= 1.0);
    assert!(value("goat_children_cpu_seconds_total") > 0.0);
    assert!(value("goat_children_max_rss_bytes") > 19e6);
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn figures_tell_orphans_from_children_of_its_own() {
    if another_is_tested() {
        return;
    }
    // The call keeps it there after its task agent's end.
    let api = RunnerApi::http().answering(FAIL, [Answer::Never]);
    let place = Place::told("orphan=exit=0 exit=7")
        .with_entrypoint("exit=0")
        .reporting_to(&api);
    let running = place.start();
    let address = place.address();

    let text = eventually("all three", || {
        let text = get(&address, "/metrics");
        text.contains("goat_reaped_total 3\n").then_some(text)
    });

    assert!(text.contains("goat_orphans_reaped_total 1\n"), "{text}");
    drop(running);
}

#[test]
fn figures_tell_how_calls_went() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http()
        .answering(UNCLAIM, [Answer::Status(409)])
        .answering(FAIL, [Answer::Never]);
    let place = Place::told("")
        .with("task_agent_path", "/no/such/agent")
        .reporting_to(&api);
    let running = place.start();
    let address = place.address();

    let text = eventually("a failed call", || {
        let text = get(&address, "/metrics");
        text.contains("goat_api_calls_failed_total 1\n").then_some(text)
    });

    assert!(figure(&text, "goat_api_calls_answered_total").abs() < f64::EPSILON);
    assert!(figure(&text, "goat_task_running").abs() < f64::EPSILON);
    // It would go on for a minute.
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end(), 0, "{}", place.log());
}
