//! Requests and answers as GitHub's documentation has them.

use http::{HeaderMap, HeaderName, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

fn status<'a>(description: &'a str) -> Status<'a> {
    Status {
        state: StatusState::Failure,
        context: "goatherd/build",
        description,
        target_url: "https://ci.example.com/api/v1/pipelines/p",
    }
}

fn body(description: &str) -> Value {
    let request = request("https://api.github.com", "acme/app", COMMIT, &status(description));
    serde_json::from_slice(&request.body).unwrap()
}

fn judge(status: u16, headers: &[(&'static str, &str)], body: &str) -> Verdict {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    verdict(&Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        body: body.as_bytes(),
        received: UNIX_EPOCH + Duration::from_secs(1000),
    })
}

#[test]
fn a_request_is_the_documented_one() {
    let request = request(
        "https://ghe.example.com/api/v3/",
        "acme/app",
        COMMIT,
        &status("no"),
    );

    assert_eq!(request.method, Method::POST);
    assert_eq!(
        request.url,
        format!("https://ghe.example.com/api/v3/repos/acme/app/statuses/{COMMIT}")
    );
    assert!(
        request
            .headers
            .contains(&("Accept", "application/vnd.github+json"))
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&request.body).unwrap(),
        json!({
            "state": "failure",
            "context": "goatherd/build",
            "description": "no",
            "target_url": "https://ci.example.com/api/v1/pipelines/p",
        })
    );
}

#[test]
fn a_long_description_is_cut_between_characters() {
    let exactly = "ä".repeat(140);
    assert_eq!(body(&exactly)["description"], exactly);

    let longer = body(&"ä".repeat(141));
    assert_eq!(longer["description"], format!("{}…", "ä".repeat(139)));
}

#[test]
fn what_github_refuses_in_a_description_is_replaced() {
    assert_eq!(
        body("line one\nline two \u{1f41b}")["description"],
        "line one line two \u{fffd}"
    );
}

proptest! {
    #[test]
    fn any_description_fits(text in "(?s).{0,400}") {
        let fitting = fit(&text, DESCRIPTION);

        prop_assert!(fitting.chars().count() <= DESCRIPTION);
        prop_assert!(!fitting.chars().any(|found| found.is_control() || u32::from(found) > 0xffff));
    }
}

#[test]
fn a_created_status_is_taken() {
    assert_eq!(judge(201, &[], "{\"id\": 1}"), Verdict::Taken);
}

#[test]
fn limits_say_how_long_to_wait_where_github_does() {
    let seconds = |seconds| Verdict::Limited {
        wait: Some(Duration::from_secs(seconds)),
    };
    let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;

    assert_eq!(judge(429, &[("retry-after", "30")], ""), seconds(30));
    assert_eq!(judge(403, &[("retry-after", "60")], secondary), seconds(60));
    assert_eq!(
        judge(
            403,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1100")],
            ""
        ),
        seconds(101)
    );
    // A clock that is ahead of GitHub's.
    assert_eq!(
        judge(
            429,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "10")],
            ""
        ),
        seconds(1)
    );
    assert_eq!(judge(403, &[], secondary), Verdict::Limited { wait: None });
    assert_eq!(
        judge(429, &[("retry-after", "soon")], ""),
        Verdict::Limited { wait: None }
    );
}

#[test]
fn what_may_pass_is_trouble() {
    for status in [408, 500, 502, 503, 504] {
        assert_eq!(judge(status, &[], "<html>"), Verdict::Trouble, "{status}");
    }
}

#[test]
fn what_is_certain_comes_with_githubs_words_and_what_to_do() {
    for (status, body, message, hint) in [
        (
            401,
            r#"{"message": "Bad credentials"}"#,
            "401: Bad credentials",
            "the token is wrong",
        ),
        (
            403,
            r#"{"message": "Resource not accessible by personal access token"}"#,
            "403: Resource not accessible by personal access token",
            "give the token the right",
        ),
        (
            404,
            r#"{"message": "Not Found"}"#,
            "404: Not Found",
            "check the repository's name",
        ),
        (
            422,
            r#"{"message": "Validation Failed", "errors": [{"message": "too long"}, "twice"]}"#,
            "422: Validation Failed: too long; twice",
            "the provider does not know the commit",
        ),
        (301, "", "301", "the repository or the API has moved"),
        (400, "no JSON", "400: no JSON", "check `api_url`"),
    ] {
        let Verdict::Refused {
            message: found,
            hint: what,
        } = judge(status, &[], body)
        else {
            panic!("{status} is certain");
        };

        assert_eq!(found, message);
        assert!(what.starts_with(hint), "{what}");
    }
}

#[test]
fn a_reset_that_no_clock_holds_is_no_wait() {
    let huge = u64::MAX.to_string();
    let headers = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", huge.as_str()),
    ];

    assert_eq!(judge(403, &headers, ""), Verdict::Limited { wait: None });
}
