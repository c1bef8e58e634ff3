//! TERM and INT.

use std::time::{Duration, Instant};

use sys::process::Signal;

use crate::api::{Api, FAIL, UNCLAIM};
use crate::place::{Place, Running, as_init, runs};

#[test]
fn a_task_agent_that_is_notified_ends_in_its_own_way() {
    let api = Api::answering(200, 200);
    let place = Place::new(
        "trap 'echo once >> $PLACE/terminated; exit 0' TERM; echo up > $PLACE/up; while :; do sleep 0.01; done",
    )
    .reporting_to(&api)
    .with("notify_task_agent", true);
    let running = place.start();
    place.wait_for("up");

    Running::signal(running.pid(), Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("terminated"), "once\n");
    assert_eq!(api.paths(), Vec::<String>::new());
    let message = place.termination()["message"]
        .as_str()
        .expect("it has words")
        .to_owned();
    assert!(
        message.starts_with("interrupted by SIGTERM from another process "),
        "{message}"
    );
}

#[test]
fn a_repeated_signal_is_handed_on_once() {
    let place = Place::new(
        "trap 'echo once >> $PLACE/terminated' TERM; echo up > $PLACE/up
         until test -e $PLACE/go; do sleep 0.01; done",
    )
    .with("notify_task_agent", true);
    let running = place.start();
    place.wait_for("up");
    Running::signal(running.pid(), Signal::SIGTERM);
    place.wait_for("terminated");

    Running::signal(running.pid(), Signal::SIGTERM);
    Running::signal(running.pid(), Signal::SIGINT);
    std::fs::write(place.path("go"), "").expect("it is written");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("terminated"), "once\n");
}

#[test]
fn without_notice_the_task_agent_may_end_within_delay_and_grace() {
    let place = Place::new(
        "echo up > $PLACE/up; until test -e $PLACE/go; do sleep 0.01; done; echo done > $PLACE/done",
    );
    let mut command = place.command();
    command.args(["--shutdown-delay=20s", "--termination-grace-period=20s"]);
    let running = Running::start(command);
    place.wait_for("up");

    Running::signal(running.pid(), Signal::SIGINT);
    crate::place::eventually("it noticed", || {
        place.log().contains("interrupted by SIGINT").then_some(())
    });
    std::fs::write(place.path("go"), "").expect("it is written");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("done"), "done\n");
}

#[test]
fn a_task_agent_that_goes_on_is_killed_and_reported() {
    let api = Api::answering(200, 200);
    let place = Place::new("trap '' TERM; echo up > $PLACE/up; sleep 611.11").reporting_to(&api);
    let mut command = place.command();
    command.arg("--termination-grace-period=100ms");
    let running = Running::start(command);
    place.wait_for("up");

    Running::signal(running.pid(), Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(!runs("611.11"));
    assert_eq!(api.paths(), [FAIL]);
    assert_eq!(
        api.calls()[0].message(),
        "error on shutdown: task agent process is still running, which could interrupt the task. Possible \
         reasons include the Pod being evicted or deleted: Check container logs for more details"
    );
    assert_eq!(place.termination()["kind"], "interrupted");
}

#[test]
fn before_the_task_agent_has_started_the_task_is_given_back() {
    let api = Api::answering(200, 200);
    let place = Place::new("echo ran > $PLACE/ran").reporting_to(&api);
    let never = place.path("never").display().to_string();
    let place = place.with("readiness_file_path", never);
    let running = place.start();
    crate::place::eventually("it listens", || {
        place.log().contains("app.address=").then_some(())
    });

    Running::signal(running.pid(), Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(api.paths(), [UNCLAIM]);
    assert_eq!(place.text("ran"), "");
}

#[test]
fn an_api_that_does_not_answer_holds_up_an_asked_for_end_for_ten_seconds_at_most() {
    let api = Api::answering(0, 0);
    let place = Place::new("trap '' TERM; echo up > $PLACE/up; sleep 612.12").reporting_to(&api);
    let mut command = place.command();
    command.arg("--termination-grace-period=0s");
    let running = Running::start(command);
    place.wait_for("up");

    let start = Instant::now();
    Running::signal(running.pid(), Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(place.termination()["reported"], false);
}

#[test]
fn the_init_of_a_namespace_tells_that_the_signal_came_from_outside() {
    let Some(starter) = as_init() else { return };
    let place = Place::new("echo up > $PLACE/up; sleep 613.13");
    let mut command = place.command_by(starter);
    command.arg("--termination-grace-period=0s");
    let running = Running::start(command);
    place.wait_for("up");

    Running::signal(running.inner_pid(), Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    let message = place.termination()["message"]
        .as_str()
        .expect("it has words")
        .to_owned();
    assert!(
        message.starts_with("interrupted by SIGTERM from outside the container: "),
        "{message}"
    );
}

#[test]
fn signals_from_inside_do_not_end_the_init_of_a_namespace() {
    let Some(starter) = as_init() else { return };
    let place = Place::new(
        "for signal in HUP QUIT SEGV ABRT USR1 ALRM KILL STOP PIPE TSTP; do kill -$signal 1; done
         echo alive > $PLACE/alive",
    );

    assert_eq!(
        Running::start(place.command_by(starter)).end(),
        0,
        "{}",
        place.log()
    );

    assert_eq!(place.text("alive"), "alive\n");
}

#[test]
fn a_term_from_inside_is_told_with_its_sender() {
    let Some(starter) = as_init() else { return };
    let place = Place::new("kill -TERM 1; sleep 614.14");
    let mut command = place.command_by(starter);
    command.arg("--termination-grace-period=0s");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    let message = place.termination()["message"]
        .as_str()
        .expect("it has words")
        .to_owned();
    assert!(
        message.contains("from process 2 ") && message.contains(" of the task: "),
        "{message}"
    );
}
