//! What a signal does, and who sent it (G10, G18).

use std::fs;

use internal_testing::{RunnerApi, binaries};
use sys::process::Signal;

use crate::place::{Place, Running, another_is_tested, send};
use crate::starters::as_init;

/// All that are handed on, without TERM and INT, which also ask for the end.
const HANDED_ON: [Signal; 12] = [
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGALRM,
    Signal::SIGIO,
    Signal::SIGPWR,
];

#[test]
fn every_signal_that_makes_sense_is_handed_to_the_entrypoint() {
    if another_is_tested() {
        return;
    }
    let handlers: Vec<String> = HANDED_ON
        .iter()
        .map(|signal| {
            let name = signal.as_str().trim_start_matches("SIG");
            format!("on={name},write=@/{name}")
        })
        .collect();
    let place =
        Place::told("await=@/go").with_entrypoint(&format!("{} write=@/up sleep", handlers.join(" ")));
    let running = place.start();
    place.wait_for("up");

    for signal in HANDED_ON {
        running.signal(signal);
        place.wait_for(signal.as_str().trim_start_matches("SIG"));
    }

    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn the_end_of_the_entrypoint_is_logged_and_ends_nothing() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go").with_entrypoint("exit=3");
    let running = place.start();

    place.wait_for_log("the custom entrypoint has ended how=exit status 3");

    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn signals_from_inside_do_not_end_the_init_of_a_namespace() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let all =
        "HUP QUIT SEGV ABRT USR1 USR2 ALRM KILL STOP PIPE TSTP TRAP BUS FPE ILL SYS XCPU XFSZ PROF VTALRM";
    let acts: Vec<String> = all.split(' ').map(|name| format!("signal={name}:1")).collect();
    let place = Place::told(&format!("{} write=@/alive", acts.join(" ")));

    assert_eq!(place.run_by(starter), 0, "{}", place.log());

    assert_eq!(place.text("alive"), "written\n");
}

#[test]
fn a_term_from_inside_is_told_with_its_sender() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let api = RunnerApi::http();
    let place = Place::told("signal=TERM:1 sleep").reporting_to(&api);
    let mut command = place.command_by(starter);
    command.arg("--termination-grace-period=0s");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    let words = place.last_words();
    assert!(
        words.starts_with("interrupted by SIGTERM from process 2 fake_task_agent (uid 0) of the task: "),
        "{words}"
    );
    assert!(
        place
            .log()
            .contains("interrupted by SIGTERM from process 2 fake_task_agent"),
        "{}",
        place.log()
    );
    // What users match on stays as it was.
    assert!(
        api.calls()[0]
            .message()
            .starts_with("error on shutdown: task agent process is still running")
    );
}

#[test]
fn a_sender_with_a_hostile_name_adds_no_line_to_the_log() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let api = RunnerApi::http();
    let place = Place::told("").reporting_to(&api);
    // A process is named after its file, as far as 15 bytes.
    let agent = place.path("a\nb\r\u{1b}[2J\"\\");
    fs::copy(binaries::fake_task_agent(), &agent).expect("it is copied");
    let words = format!("{} signal=TERM:1 sleep", agent.display());
    let place = place.with("task_agent_path", words);
    let mut command = place.command_by(starter);
    command.arg("--termination-grace-period=0s");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    let by = r#"SIGTERM from process 2 a\nb\r\u{1b}[2J\"\\ (uid 0) of the task"#;
    assert_eq!(place.termination()["interrupted_by"], by);
    let log = place.log();
    let line = log.lines().find(|line| line.contains("interrupted by SIGTERM"));
    let line = line.expect("it is told");
    assert!(line.ends_with(&format!("interrupted by {by}")), "{line}");
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn a_term_from_outside_is_told_as_such() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let place = Place::told("write=@/up sleep");
    let mut command = place.command_by(starter);
    command.arg("--termination-grace-period=0s");
    let running = Running::start(command);
    place.wait_for("up");

    send(running.inner_pid(), Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    let by = "SIGTERM from outside the container";
    assert_eq!(place.termination()["interrupted_by"], by);
    assert!(
        place.last_words().starts_with(&format!("interrupted by {by}: ")),
        "{}",
        place.last_words()
    );
}

#[test]
fn a_supervisor_that_is_no_init_tells_the_task_from_others() {
    if another_is_tested() {
        return;
    }
    let from_the_task = Place::told("signal=TERM:parent sleep");
    let mut command = from_the_task.command();
    command.arg("--termination-grace-period=0s");
    Running::start(command).end();
    let from_others = Place::told("write=@/up sleep");
    let mut command = from_others.command();
    command.arg("--termination-grace-period=0s");
    let running = Running::start(command);
    from_others.wait_for("up");

    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", from_others.log());
    assert_eq!(
        from_the_task.termination()["interrupted_by"],
        "SIGTERM from a process of the task"
    );
    let by = from_others.termination()["interrupted_by"].to_string();
    let own = format!("SIGTERM from another process {} ", std::process::id());
    assert!(by.contains(&own), "{by}");
}
