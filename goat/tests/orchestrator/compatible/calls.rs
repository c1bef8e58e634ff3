//! How the runner API is called.

use std::fs;
use std::time::{Duration, Instant};

use internal_testing::RunnerApi;
use internal_testing::runner_api::{Answer, FAIL};

use crate::place::{Place, Running, TOKEN};
use crate::starters::with_host_name;

fn failing(api: &RunnerApi) -> Place {
    Place::told("exit=7").reporting_to(api)
}

#[test]
fn it_names_itself_and_shows_the_token() {
    let api = RunnerApi::http();

    assert_eq!(failing(&api).run(), 0);

    let call = &api.calls()[0];
    assert_eq!(call.method, "POST");
    assert_eq!(
        call.header("authorization"),
        Some(format!("Bearer {TOKEN}").as_str())
    );
    assert!(
        call.header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
    );
    let agent = call.header("user-agent").expect("it names itself");
    let inner = agent
        .strip_prefix("CircleCI-GOAT/")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or_else(|| panic!("{agent}"));
    let (version, place) = inner.split_once(" (").unwrap_or_else(|| panic!("{agent}"));
    let parts: Vec<&str> = place.split("; ").collect();
    let [os, architecture, correlation] = parts[..] else {
        panic!("{agent}")
    };
    assert!(!version.is_empty(), "{agent}");
    assert_eq!((os, architecture), ("linux", "amd64"));
    assert!(
        correlation.len() >= 8 && correlation.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{agent}"
    );
}

#[test]
fn the_host_name_of_a_container_agents_pod_is_the_correlation() {
    let Some(starter) = with_host_name("ccita-task-1-abcde") else {
        return;
    };
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    let api = RunnerApi::http();
    let place = failing(&api);

    assert_eq!(place.run_by(&starter), 0, "{}", place.log());

    let call = &api.calls()[0];
    let agent = call.header("user-agent").expect("it names itself");
    assert!(agent.ends_with(" (linux; amd64; ccita-task-1-abcde)"), "{agent}");
}

#[test]
fn what_may_pass_is_tried_again() {
    let api = RunnerApi::http().answering(
        FAIL,
        [
            Answer::Status(500),
            Answer::Status(503),
            Answer::Reset,
            Answer::CutOff,
            Answer::Status(200),
        ],
    );

    assert_eq!(failing(&api).run(), 0);

    assert_eq!(api.paths(), [FAIL; 5]);
}

#[test]
fn pauses_between_tries_grow() {
    let mut answers = vec![Answer::Status(503); 4];
    answers.push(Answer::Status(200));
    let api = RunnerApi::http().answering(FAIL, answers);

    assert_eq!(failing(&api).run(), 0);

    let calls = api.calls();
    let pause = |later: usize| calls[later].at.duration_since(calls[later - 1].at);
    // With jitter each pause is anything from half of it on.
    assert!(pause(4) > pause(1), "{:?} after {:?}", pause(4), pause(1));
}

#[test]
fn what_is_refused_is_not_tried_again() {
    for status in [400, 401, 403, 404, 422] {
        let api = RunnerApi::http().answering(FAIL, [Answer::Status(status)]);

        assert_eq!(failing(&api).run(), 1, "{status}");

        assert_eq!(api.paths(), [FAIL], "{status}");
    }
}

#[test]
fn any_success_will_do() {
    for status in [200, 201, 202] {
        let api = RunnerApi::http().answering(FAIL, [Answer::Status(status)]);

        assert_eq!(failing(&api).run(), 0, "{status}");

        assert_eq!(api.paths(), [FAIL], "{status}");
    }
}

#[test]
fn a_slow_answer_is_waited_for() {
    let slow = Answer::After(Duration::from_secs(3), Box::new(Answer::Status(200)));
    let api = RunnerApi::http().answering(FAIL, [slow]);

    assert_eq!(failing(&api).run(), 0);

    assert_eq!(api.paths(), [FAIL]);
}

#[test]
fn a_try_that_nobody_answers_is_given_up() {
    let api = RunnerApi::http().answering(FAIL, [Answer::Never, Answer::Status(200)]);
    let place = failing(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(api.paths(), [FAIL, FAIL]);
}

#[test]
fn a_call_takes_a_minute_at_most() {
    let api = RunnerApi::http().answering(FAIL, [Answer::Never]);
    let place = failing(&api);

    let start = Instant::now();
    let code = place.run();

    let took = start.elapsed();
    assert_eq!(code, 1, "{}", place.log());
    assert!(
        took >= Duration::from_secs(30) && took < Duration::from_secs(75),
        "{took:?}"
    );
}

#[test]
fn the_systems_certificates_are_trusted() {
    let api = RunnerApi::https("localhost");
    let place = failing(&api).with("runner_api_base_url", api.url_of("localhost"));
    let certificate = api.certificate().expect("it has one");
    fs::write(place.path("root.pem"), certificate).expect("it is written");
    let mut trusting = place.command();
    trusting.env("SSL_CERT_FILE", place.path("root.pem"));

    assert_eq!(Running::start(trusting).end(), 0, "{}", place.log());
    assert_eq!(api.paths(), [FAIL]);
}

#[test]
fn proxies_are_used_where_the_environment_names_them() {
    let proxy = RunnerApi::http();
    let place = Place::told("exit=7").with("runner_api_base_url", "http://runner.test");
    let mut command = place.command();
    command
        .env("HTTP_PROXY", proxy.url())
        .env("NO_PROXY", "example.com,other.test");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    assert_eq!(proxy.calls()[0].target, format!("http://runner.test{FAIL}"));
}

#[test]
fn a_proxy_for_tls_is_asked_to_connect_and_sees_no_more() {
    let api = RunnerApi::https("runner.test");
    let proxy = RunnerApi::http().tunnelling_to(&api);
    let place = Place::told("exit=7").with("runner_api_base_url", "https://runner.test");
    let certificate = api.certificate().expect("it has one");
    fs::write(place.path("root.pem"), certificate).expect("it is written");
    let mut command = place.command();
    command
        .env("HTTPS_PROXY", proxy.url())
        .env("SSL_CERT_FILE", place.path("root.pem"));

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    let asked = &proxy.calls()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("CONNECT", "runner.test:443")
    );
    assert_eq!(api.paths(), [FAIL]);
}

#[test]
fn no_proxy_is_used_for_a_host_that_is_excepted() {
    let proxy = RunnerApi::http();
    let api = RunnerApi::http();
    // Linux takes it for loopback, and nobody who chooses proxies does.
    let place = Place::told("exit=7").with("runner_api_base_url", api.url_of("0.0.0.0"));
    let mut command = place.command();
    command.env("HTTP_PROXY", proxy.url()).env("NO_PROXY", "0.0.0.0");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    assert!(proxy.calls().is_empty());
    assert_eq!(api.paths(), [FAIL]);
}
