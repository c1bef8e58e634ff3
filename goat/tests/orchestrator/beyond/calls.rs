//! Calls that the public system would give up, and where the token must not go (G3, G17).

use std::fs;
use std::time::{Duration, Instant};

use internal_testing::RunnerApi;
use internal_testing::runner_api::{Answer, FAIL};
use sys::process::Signal;

use crate::place::{Place, Running, another_is_tested, eventually};

#[test]
fn no_content_is_a_success_and_too_many_requests_may_pass() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http().answering(FAIL, [Answer::Status(429), Answer::Status(204)]);
    let place = Place::told("exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [FAIL, FAIL]);
}

#[test]
fn a_redirect_is_not_followed() {
    if another_is_tested() {
        return;
    }
    let elsewhere = RunnerApi::http();
    let redirect = Answer::Redirect(format!("{}{FAIL}", elsewhere.url()));
    let api = RunnerApi::http().answering(FAIL, [redirect]);
    let place = Place::told("exit=7").reporting_to(&api);

    assert_eq!(place.run(), 1, "{}", place.log());

    assert_eq!(api.paths(), [FAIL]);
    assert!(elsewhere.calls().is_empty());
}

#[test]
fn an_answer_that_is_no_http_may_pass() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http().answering(FAIL, [Answer::Garbage, Answer::Status(200)]);
    let place = Place::told("exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [FAIL, FAIL]);
}

#[test]
fn a_server_with_a_strangers_certificate_is_told_nothing() {
    if another_is_tested() {
        return;
    }
    let (trusted, stranger) = (RunnerApi::https("localhost"), RunnerApi::https("localhost"));
    let place = Place::told("exit=7").with("runner_api_base_url", stranger.url_of("localhost"));
    let certificate = trusted.certificate().expect("it has one");
    fs::write(place.path("root.pem"), certificate).expect("it is written");
    let mut command = place.command();
    command.env("SSL_CERT_FILE", place.path("root.pem"));
    let running = Running::start(command);
    place.wait_for_log("the task agent has ended");

    // It would try for a minute.
    running.signal(Signal::SIGTERM);

    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(stranger.calls().is_empty());
    assert_eq!(place.termination()["reported"], false);
}

#[test]
fn an_answer_without_an_end_is_not_read_to_it() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http().answering(FAIL, [Answer::Endless, Answer::Status(200)]);
    let place = Place::told("exit=7").reporting_to(&api);
    let running = place.start();
    let pid = u32::try_from(running.pid()).expect("a pid");

    eventually("the second try", || (api.paths().len() == 2).then_some(()));

    // It may have ended since; then it did not take all memory either.
    let peak = internal_testing::memory::peak(pid).unwrap_or_default();
    assert!(peak < 64 * 1024, "{peak} KiB");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn a_token_that_no_call_can_hold_fails_at_once() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("exit=7")
        .with("token", "two\nlines")
        .reporting_to(&api);
    let start = Instant::now();

    assert_eq!(place.run(), 1, "{}", place.log());

    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(api.calls().is_empty());
}
