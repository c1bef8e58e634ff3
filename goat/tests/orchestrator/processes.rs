//! Orphans, leftovers and the custom entrypoint.

use std::time::{Duration, Instant};

use sys::process::Signal;

use crate::api::{Api, FAIL};
use crate::place::{Place, Running, TOKEN, as_init, runs};

/// Leaves orphans that end at once, and waits until none of them is a zombie below the supervisor.
const ORPHANS: &str = r#"
    i=0; while test $i -lt 20; do (sleep 0 &); i=$((i+1)); done
    zombies() { grep -l "^PPid:.$PPID\$" $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null) /dev/null 2>/dev/null; }
    i=0; while test -n "$(zombies)"; do i=$((i+1)); test $i -lt 500 || exit 9; sleep 0.01; done
    echo none > $PLACE/zombies
"#;

#[test]
fn orphans_are_collected_while_the_task_runs() {
    let place = Place::new(ORPHANS);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.text("zombies"), "none\n");
}

#[test]
fn the_init_of_a_namespace_collects_orphans_too() {
    let Some(starter) = as_init() else { return };
    let place = Place::new(ORPHANS);

    assert_eq!(
        Running::start(place.command_by(starter)).end(),
        0,
        "{}",
        place.log()
    );

    assert_eq!(place.text("zombies"), "none\n");
}

#[test]
fn a_process_that_holds_the_task_agents_streams_holds_up_nothing() {
    let place = Place::new("sleep 615.15 & setsid sleep 616.16 & sleep 0.1; echo last words >&2; exit 0");
    let start = Instant::now();

    assert_eq!(place.run(), 0, "{}", place.log());

    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(place.log().contains("last words"), "{}", place.log());
    assert!(!runs("615.15") && !runs("616.16"));
}

#[test]
fn nothing_outlives_the_init_of_a_namespace() {
    let Some(starter) = as_init() else { return };
    let place = Place::new("setsid sh -c 'trap \"\" TERM HUP; sleep 617.17' & sleep 0.1; exit 0");

    assert_eq!(
        Running::start(place.command_by(starter)).end(),
        0,
        "{}",
        place.log()
    );

    assert!(!runs("617.17"));
}

#[test]
fn a_supervisor_that_is_killed_takes_the_task_agent_with_it() {
    let place = Place::new("echo up > $PLACE/up; exec sleep 618.18");
    let running = place.start();
    place.wait_for("up");

    Running::signal(running.pid(), Signal::SIGKILL);

    crate::place::eventually("the task agent's end", || (!runs("618.18")).then_some(()));
}

#[test]
fn the_entrypoint_runs_beside_and_gets_signals_but_no_secret() {
    let place = Place::new("until test -s $PLACE/signalled; do sleep 0.01; done").with(
        "cmd",
        ["/bin/sh", "-c", "trap 'echo usr1 > $PLACE/signalled' USR1; env > $PLACE/environment; echo up > $PLACE/up; while :; do sleep 0.01; done"]
            .as_slice(),
    );
    let running = place.start();
    place.wait_for("up");

    Running::signal(running.pid(), Signal::SIGUSR1);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("signalled"), "usr1\n");
    let environment = place.text("environment");
    assert!(
        !environment.contains("CIRCLECI_GOAT") && !environment.contains(TOKEN),
        "{environment}"
    );
}

#[test]
fn the_end_of_the_entrypoint_is_logged_and_ends_nothing() {
    let place = Place::new(
        "until grep -q 'custom entrypoint has ended how=exit status 3' $PLACE/log; do sleep 0.01; done",
    )
    .with("cmd", ["/bin/sh", "-c", "exit 3"].as_slice());

    assert_eq!(place.run(), 0, "{}", place.log());
}

#[test]
fn an_entrypoint_that_cannot_start_fails_the_task() {
    let api = Api::answering(200, 200);
    let place = Place::new("echo ran > $PLACE/ran")
        .reporting_to(&api)
        .with("cmd", ["/no/such/entrypoint", "-x"].as_slice());

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), [FAIL]);
    let message = api.calls()[0].message();
    let words = "error starting custom entrypoint [/no/such/entrypoint -x]: /no/such/entrypoint: ";
    assert!(message.starts_with(words), "{message}");
    assert_eq!(place.text("ran"), "");
    assert_eq!(place.termination()["kind"], "entrypoint_not_started");
}
