//! What the runner API and the termination message are told, and the exit code.

use crate::api::{Api, FAIL, UNCLAIM};
use crate::place::{Place, TOKEN};

const FAILED: &str =
    "error while executing task agent: task agent command exited with an unexpected error: exit status 7";
const SUFFIX: &str = ": Check container logs for more details";

#[test]
fn a_task_agent_that_ends_well_is_not_reported() {
    let api = Api::answering(200, 200);
    let place = Place::new("exit 0").reporting_to(&api);

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), Vec::<String>::new());
    let message = place.termination();
    assert_eq!(
        (&message["kind"], &message["exit_code"]),
        (&"completed".into(), &0.into())
    );
}

#[test]
fn a_task_agent_that_fails_is_reported_with_what_it_wrote() {
    let api = Api::answering(200, 204);
    let place = Place::new("echo 'no <b>\"luck\"</b>' >&2; exit 7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [FAIL]);
    let call = &api.calls()[0];
    assert_eq!(call.message(), format!("{FAILED}: no bluck/b\n{SUFFIX}"));
    assert_eq!(call.body["allocation"], "task-1.1");
    assert!(
        call.body["timestamp"]
            .as_i64()
            .is_some_and(|time| time > 1_700_000_000_000)
    );
    assert_eq!(
        call.header("authorization"),
        Some(format!("Bearer {TOKEN}").as_str())
    );
    let agent = call.header("user-agent").expect("it names itself");
    assert!(agent.starts_with("CircleCI-GOAT/dev (linux; "), "{agent}");
}

#[test]
fn the_termination_message_says_how_it_ended() {
    let api = Api::answering(200, 200);
    let exited = Place::new("echo no luck >&2; exit 7").reporting_to(&api);
    let killed = Place::new("kill -SEGV $$").reporting_to(&api);

    assert_eq!((exited.run(), killed.run()), (0, 0));

    let message = exited.termination();
    assert_eq!(message["kind"], "task_agent_ended");
    assert_eq!(message["message"], format!("{FAILED}: no luck\n{SUFFIX}"));
    assert_eq!(
        (&message["exit_code"], &message["reported"]),
        (&7.into(), &true.into())
    );
    assert!(message["max_rss_kib"].as_u64().is_some_and(|size| size > 0));
    assert_eq!(killed.termination()["signal"], 11);
    let words = killed.termination()["message"]
        .as_str()
        .expect("it has words")
        .to_owned();
    assert!(words.ends_with(" (ended by SIGSEGV)"), "{words}");
    assert!(
        api.calls()[1]
            .message()
            .contains("unexpected error: signal: segmentation fault")
    );
}

#[test]
fn a_long_last_word_is_told_by_its_ends() {
    let api = Api::answering(200, 200);
    let place = Place::new("printf '%0200d' 1 >&2; printf '%0200d' 2 >&2; exit 7").reporting_to(&api);

    assert_eq!(place.run(), 0);

    let expected = format!(
        "{FAILED}: {}\n... omitting 80 bytes ...\n{}2{SUFFIX}",
        "0".repeat(160),
        "0".repeat(159)
    );
    assert_eq!(api.calls()[0].message(), expected);
}

#[test]
fn a_task_agent_that_cannot_start_is_given_back() {
    let api = Api::answering(200, 200);
    let place = Place::new("")
        .reporting_to(&api)
        .with("task_agent_path", "/no/such/agent");

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), [UNCLAIM]);
    assert_eq!(
        api.calls()[0].body,
        serde_json::json!({ "task_id": "task-1", "task_token": TOKEN })
    );
    assert_eq!(place.termination()["reported"], true);
}

#[test]
fn what_cannot_be_given_back_is_reported_as_failed() {
    let api = Api::answering(409, 200);
    let place = Place::new("")
        .reporting_to(&api)
        .with("task_agent_path", "/no/such/agent");

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
    let message = api.calls()[1].message();
    let words = "error while executing task agent: failed to start task agent command: /no/such/agent: ";
    assert!(
        message.starts_with(words) && message.ends_with(SUFFIX),
        "{message}"
    );
    assert!(
        place
            .log()
            .contains("failed to retry task: exhausted all task retries"),
        "{}",
        place.log()
    );
}

#[test]
fn unsafe_retries_give_everything_back() {
    let api = Api::answering(200, 200);
    let place = Place::new("exit 7")
        .reporting_to(&api)
        .with("enable_unsafe_retries", true);

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), [UNCLAIM]);
}

#[test]
fn a_task_that_is_over_elsewhere_counts_as_told() {
    let api = Api::answering(410, 410);
    let not_started = Place::new("")
        .reporting_to(&api)
        .with("task_agent_path", "/no/such/agent");
    let failed = Place::new("exit 7").reporting_to(&api);

    assert_eq!((not_started.run(), failed.run()), (0, 0));

    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
}

#[test]
fn what_nobody_was_told_is_in_the_exit_code() {
    let api = Api::answering(400, 403);
    let place = Place::new("")
        .reporting_to(&api)
        .with("task_agent_path", "/no/such/agent");

    assert_eq!(place.run(), 1);

    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
    assert_eq!(place.termination()["reported"], false);
}

#[test]
fn an_api_that_cannot_be_called_is_no_panic() {
    let place = Place::new("exit 7").with("runner_api_base_url", "");

    assert_eq!(place.run(), 1);

    assert!(
        place.log().contains("the runner API cannot be called"),
        "{}",
        place.log()
    );
}
