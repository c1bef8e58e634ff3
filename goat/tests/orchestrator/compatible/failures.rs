//! What the runner API is told of a failure, and the exit code.

use internal_testing::RunnerApi;
use internal_testing::runner_api::{Answer, FAIL, UNCLAIM};
use serde_json::json;

use crate::place::{Place, TOKEN};

const FAILED: &str =
    "error while executing task agent: task agent command exited with an unexpected error: exit status 7";
const SUFFIX: &str = ": Check container logs for more details";

/// A task agent that is not there.
fn not_there(api: &RunnerApi) -> Place {
    Place::told("")
        .reporting_to(api)
        .with("task_agent_path", "/no/such/agent")
}

#[test]
fn a_task_agent_that_ends_well_is_not_reported() {
    let api = RunnerApi::http();
    let place = Place::told("exit=0").reporting_to(&api);

    assert_eq!(place.run(), 0);

    assert!(api.calls().is_empty());
}

#[test]
fn one_that_fails_silently_is_reported_with_its_status() {
    let api = RunnerApi::http();
    let place = Place::told("exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [FAIL]);
    assert_eq!(api.calls()[0].message(), format!("{FAILED}{SUFFIX}"));
}

#[test]
fn what_it_wrote_follows_the_status() {
    let api = RunnerApi::http();
    let place = Place::told("complain=no-luck exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.calls()[0].message(), format!("{FAILED}: no-luck\n{SUFFIX}"));
}

#[test]
fn a_long_last_word_is_told_by_its_ends() {
    let api = RunnerApi::http();
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
fn a_letter_that_is_cut_stays_cut() {
    let api = RunnerApi::http();
    // 159 letters of one byte, and then one of two: the first 160 bytes end within it.
    let place =
        Place::new("printf '%0159d' 0 >&2; printf '\\303\\274%0400d' 0 >&2; exit 7").reporting_to(&api);

    assert_eq!(place.run(), 0);

    let message = api.calls()[0].message_bytes();
    let expected = [
        format!("{FAILED}: {}", "0".repeat(159)).as_bytes(),
        b"\xc3\n... omitting 241 bytes ...\n",
        "0".repeat(160).as_bytes(),
        SUFFIX.as_bytes(),
    ]
    .concat();
    assert_eq!(
        String::from_utf8_lossy(&message),
        String::from_utf8_lossy(&expected)
    );
    assert_eq!(message, expected);
}

#[test]
fn markup_is_taken_out_of_the_message() {
    let api = RunnerApi::http();
    let place = Place::new("echo 'no <b>\"luck\"</b> & it'\"'\"'s over' >&2; exit 7").reporting_to(&api);

    assert_eq!(place.run(), 0);

    assert_eq!(
        api.calls()[0].message(),
        format!("{FAILED}: no bluck/b  its over\n{SUFFIX}")
    );
}

#[test]
fn a_task_agent_that_cannot_start_is_given_back() {
    let api = RunnerApi::http();

    assert_eq!(not_there(&api).run(), 0);

    assert_eq!(api.paths(), [UNCLAIM]);
}

#[test]
fn what_cannot_be_given_back_is_reported_as_failed() {
    let api = RunnerApi::http().answering(UNCLAIM, [Answer::Status(409)]);
    let place = not_there(&api);

    assert_eq!(place.run(), 0);

    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
    let message = api.calls()[1].message();
    let words = "error while executing task agent: failed to start task agent command: ";
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
fn unsafe_retries_give_everything_back_first() {
    let given_back = RunnerApi::http();
    let refused = RunnerApi::http().answering(UNCLAIM, [Answer::Status(409)]);
    let unsafe_place = |api| {
        Place::told("exit=7")
            .reporting_to(api)
            .with("enable_unsafe_retries", true)
    };

    assert_eq!(unsafe_place(&given_back).run(), 0);
    assert_eq!(unsafe_place(&refused).run(), 0);

    assert_eq!(given_back.paths(), [UNCLAIM]);
    assert_eq!(refused.paths(), [UNCLAIM, FAIL]);
    assert_eq!(refused.calls()[1].message(), format!("{FAILED}{SUFFIX}"));
}

#[test]
fn what_nobody_was_told_is_in_the_exit_code() {
    let api = RunnerApi::http()
        .answering(UNCLAIM, [Answer::Status(400)])
        .answering(FAIL, [Answer::Status(403)]);

    assert_eq!(not_there(&api).run(), 1);

    assert_eq!(api.paths(), [UNCLAIM, FAIL]);
}

#[test]
fn both_calls_have_the_bodies_that_the_api_expects() {
    let api = RunnerApi::http().answering(UNCLAIM, [Answer::Status(409)]);

    assert_eq!(not_there(&api).run(), 0);

    let calls = api.calls();
    assert_eq!(
        calls[0].json(),
        json!({ "task_id": "task-1", "task_token": TOKEN })
    );
    let fail = calls[1].json();
    let mut keys: Vec<_> = fail.as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["allocation", "message", "timestamp"]);
    assert_eq!(fail["allocation"], "task-1.1");
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("the clock is right")
        .as_millis();
    let told = u128::from(fail["timestamp"].as_u64().expect("a whole number"));
    assert!(told <= now && told + 120_000 > now, "{told} at {now}");
}
