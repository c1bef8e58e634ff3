//! How the task agent is started, what it gets, and what becomes of what it leaves.

use std::fs;

use internal_testing::{RunnerApi, binaries};
use serde_json::json;

use crate::place::{Place, Running, TOKEN, eventually};
use crate::starters::{WITH_GROUPS, is_root};

#[test]
fn it_gets_its_words_in_their_order() {
    let place = Place::told("record=@/record")
        .with("max_run_time", 18_000_000_000_000_i64)
        .with("ssh_advertise_addr", "1.2.3.4:22");

    assert_eq!(place.run(), 0, "{}", place.log());

    let record = place.record("record");
    let words = record["argv"].as_array().expect("an array");
    assert_eq!(
        words[2..],
        [
            "_internal",
            "agent-runner",
            "--verbose",
            "--runnerAPIBaseURL=http://127.0.0.1:1",
            "--allocation=task-1.1",
            "--disableSpinUpStep",
            "--disableIsolatedSSHDir",
            "--maxRunTime=5h0m0s",
            "--sshAdvertiseAddr=1.2.3.4:22",
        ]
    );
}

#[test]
fn its_time_is_printed_as_go_prints_it_and_no_address_is_no_word() {
    for (nanoseconds, printed) in [(60_000_000_000_i64, "1m0s"), (0, "0s"), (1_500_000_000, "1.5s")] {
        let place = Place::told("record=@/record").with("max_run_time", nanoseconds);

        assert_eq!(place.run(), 0, "{}", place.log());

        let record = place.record("record");
        let last = record["argv"].as_array().and_then(|words| words.last());
        assert_eq!(last, Some(&json!(format!("--maxRunTime={printed}"))));
    }
}

#[test]
fn its_command_is_split_at_single_spaces() {
    let agent = binaries::fake_task_agent().display().to_string();
    let place = Place::new("for word in \"$@\"; do echo \"<$word>\"; done > $PLACE/words");
    let script = place.path("agent.sh").display().to_string();
    let place = place.with("task_agent_path", format!("/bin/sh {script} a  {agent}"));

    assert_eq!(place.run(), 0, "{}", place.log());

    let words = place.text("words");
    assert!(
        words.starts_with(&format!("<a>\n<>\n<{agent}>\n<_internal>\n")),
        "{words}"
    );
}

#[test]
fn the_token_is_on_its_standard_input_and_then_the_end() {
    let place = Place::told("record=@/record");

    assert_eq!(place.run(), 0, "{}", place.log());

    // `record` reads to the end, so there was one.
    assert_eq!(place.record("record")["stdin"], TOKEN);
}

#[test]
fn its_environment_is_the_orchestrators_less_what_is_the_orchestrators_alone() {
    let place = Place::told("record=record");
    let mut command = place.command();
    command
        .current_dir(place.path(""))
        .env("CIRCLECI_GOAT_SHUTDOWN_DELAY", "0s")
        .env("CIRCLECI_GOATEE", "x")
        .env("COLOUR", "blue");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    let record = place.record("record");
    let environment = record["environment"].as_object().expect("an object");
    assert_eq!(environment["COLOUR"], "blue");
    let ours: Vec<_> = environment
        .keys()
        .filter(|name| name.starts_with("CIRCLECI_GOAT"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    let agent = binaries::fake_task_agent();
    let folder = agent.parent().expect("it is in a folder").display();
    assert_eq!(
        environment["PATH"],
        format!("/usr/sbin:/usr/bin:/sbin:/bin:{folder}")
    );
}

#[test]
fn its_output_passes_through() {
    let place = Place::told("say=to-the-output complain=to-the-error");

    assert_eq!(place.run(), 0);

    assert!(
        place.text("stdout").contains("to-the-output\n"),
        "{}",
        place.text("stdout")
    );
    assert!(place.log().contains("to-the-error\n"), "{}", place.log());
}

#[test]
fn it_has_its_own_process_group_and_dies_with_the_orchestrator() {
    let place = Place::told("record=@/record sleep");
    let running = place.start();
    let record = place.record("record");

    assert_eq!(record["group"], record["pid"]);
    assert_eq!(record["death_signal"], "SIGKILL");
    assert_eq!(record["parent"], running.pid());
    running.signal(sys::process::Signal::SIGKILL);
    eventually("the task agent's end", || {
        place.processes().is_empty().then_some(())
    });
}

#[test]
fn it_runs_as_the_user_of_the_configuration_with_no_other_groups() {
    if !is_root("become another user") {
        return;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("this machine has one");
    let entry = passwd
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .expect("Debian has a user `nobody`");
    let fields: Vec<&str> = entry.split(':').collect();
    let place = Place::told("record=@/record").with("user", "nobody");
    // It must be able to reach its program.
    let agent = place.path("agent");
    fs::copy(binaries::fake_task_agent(), &agent).expect("it is copied");
    let words = place.words("@/agent record=@/record");
    let place = place.with("task_agent_path", words);

    assert_eq!(place.run_by(WITH_GROUPS), 0, "{}", place.log());

    let record = place.record("record");
    assert_eq!(record["uid"].to_string(), fields[2]);
    assert_eq!(record["gid"].to_string(), fields[3]);
    assert_eq!(record["environment"]["HOME"], fields[5]);
    let groups = record["groups"].as_array().expect("an array");
    assert!(groups.iter().all(|group| *group == record["gid"]), "{groups:?}");
    assert_eq!(record["death_signal"], "SIGKILL");
}

#[test]
fn what_is_left_of_its_group_is_killed_when_it_ends() {
    let place = Place::told("child=close=stdout,close=stderr,write=@/up,sleep await=@/up");

    assert_eq!(place.run(), 0, "{}", place.log());

    eventually("the child's end", || place.processes().is_empty().then_some(()));
}

#[test]
fn keys_that_are_not_known_are_ignored() {
    let api = RunnerApi::http();
    let place = Place::told("write=@/ran")
        .reporting_to(&api)
        .with("a_newer_key", json!({ "with": ["anything", 1] }));

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.text("ran"), "written\n");
    assert!(api.calls().is_empty());
}
