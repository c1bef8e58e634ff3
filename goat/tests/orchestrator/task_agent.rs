//! How the task agent is started, and what it gets.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::api::Api;
use crate::place::{Place, TOKEN};

#[test]
fn the_task_agent_gets_its_words_its_token_and_a_clean_environment() {
    let place = Place::new(
        r#"for word in "$@"; do echo "$word"; done > $PLACE/words
           cat > $PLACE/token
           env > $PLACE/environment"#,
    )
    .with("max_run_time", 18_000_000_000_000_i64)
    .with("ssh_advertise_addr", "1.2.3.4:22");
    let mut command = place.command();
    command
        .env("CIRCLECI_GOAT_SHUTDOWN_DELAY", "0s")
        .env("CIRCLECI_GOATEE", "x")
        .env("COLOUR", "blue");

    let code = crate::place::Running::start(command).end();

    assert_eq!(code, 0, "{}", place.log());
    let expected = "_internal\nagent-runner\n--verbose\n--runnerAPIBaseURL=http://127.0.0.1:1\n\
                    --allocation=task-1.1\n--disableSpinUpStep\n--disableIsolatedSSHDir\n\
                    --maxRunTime=5h0m0s\n--sshAdvertiseAddr=1.2.3.4:22\n";
    assert_eq!(place.text("words"), expected);
    assert_eq!(place.text("token"), TOKEN);
    let environment = place.text("environment");
    assert!(environment.contains("COLOUR=blue\n"), "{environment}");
    assert!(!environment.contains("CIRCLECI_GOAT"), "{environment}");
    assert!(
        environment.contains("PATH=/usr/sbin:/usr/bin:/sbin:/bin:/bin\n"),
        "{environment}"
    );
    assert!(!place.log().contains(TOKEN));
}

#[test]
fn the_folder_of_the_task_agent_is_the_last_of_the_path() {
    let place = Place::new("");
    let agent = place.path("circleci-agent");
    fs::write(&agent, "#!/bin/sh\necho \"$PATH\" > $PLACE/path\n").expect("it is written");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let folder = agent.parent().expect("it is in the place").display().to_string();
    let place = place.with("task_agent_path", agent.display().to_string());

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(
        place.text("path"),
        format!("/usr/sbin:/usr/bin:/sbin:/bin:{folder}\n")
    );
}

#[test]
fn a_token_longer_than_a_pipe_arrives_whole() {
    let token = "0123456789".repeat(50_000);
    let place = Place::new("wc -c > $PLACE/length").with("token", token.as_str());

    let code = crate::place::Running::start(place.command_with_file()).end();

    assert_eq!(code, 0, "{}", place.log());
    assert_eq!(place.text("length").trim(), "500000");
}

#[test]
fn a_task_agent_that_does_not_read_its_token_holds_up_nothing() {
    let place = Place::new("exit 0").with("token", "0123456789".repeat(50_000));

    let code = crate::place::Running::start(place.command_with_file()).end();

    assert_eq!(code, 0, "{}", place.log());
}

#[test]
fn its_output_passes_through() {
    let place = Place::new("echo to-the-output; echo to-the-error >&2");

    assert_eq!(place.run(), 0);

    assert_eq!(place.text("stdout"), "to-the-output\n");
    assert!(place.log().contains("to-the-error\n"), "{}", place.log());
}

#[test]
fn a_numeric_user_needs_no_entry_and_has_no_groups() {
    if !sys::process::is_root() {
        println!("skipped: needs root to become another user");
        return;
    }
    let place = Place::new("{ id -u; id -g; id -G; echo $HOME; } > $PLACE/who").with("user", "54321:12345");

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.text("who"), "54321\n12345\n12345\n/\n");
}

#[test]
fn an_unknown_user_is_refused_and_not_replaced_by_root() {
    if !sys::process::is_root() {
        println!("skipped: others than root carry on as themselves");
        return;
    }
    let api = Api::answering(200, 200);
    let place = Place::new("echo ran > $PLACE/ran")
        .reporting_to(&api)
        .with("user", "nobody-at-all");

    assert_eq!(place.run(), 0);

    assert_eq!(place.text("ran"), "");
    assert_eq!(api.paths(), [crate::api::FAIL]);
    assert!(
        api.calls()[0].message().contains("unknown user nobody-at-all"),
        "{}",
        api.calls()[0].message()
    );
    assert_eq!(place.termination()["kind"], "task_agent_not_started");
}

#[test]
fn the_kernel_takes_the_task_agent_before_its_supervisor() {
    let place = Place::new("cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj > $PLACE/scores");

    assert_eq!(place.run(), 0, "{}", place.log());

    let scores = place.text("scores");
    let scores: Vec<i32> = scores
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(scores[0], (scores[1] + 100).min(1000));
}

#[test]
fn the_instance_is_shared_where_it_is_asked_for() {
    let api = Api::answering(200, 200);
    let shared = Place::new("echo $GOATHERD_INSTANCE > $PLACE/instance; exit 1")
        .reporting_to(&api)
        .with("share_instance", true);
    let alone = Place::new("echo none$GOATHERD_INSTANCE > $PLACE/instance; exit 1").reporting_to(&api);

    assert_eq!((shared.run(), alone.run()), (0, 0));

    let calls = api.calls();
    let instance = shared.text("instance");
    assert!(instance.len() > 16, "{instance}");
    assert_eq!(calls[0].header("X-Goatherd-Instance"), Some(instance.trim()));
    assert_eq!(calls[1].header("X-Goatherd-Instance"), None);
    assert_eq!(alone.text("instance"), "none\n");
}

#[test]
fn it_starts_once_the_readiness_file_is_there() {
    let place = Place::new("test -e $PLACE/ready && echo yes > $PLACE/was-ready");
    let ready = place.path("ready");
    let place = place.with("readiness_file_path", ready.display().to_string());
    let running = place.start();
    crate::place::eventually("it listens", || {
        place.log().contains("app.address=").then_some(())
    });

    fs::write(ready, "").expect("it is written");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("was-ready"), "yes\n");
}
