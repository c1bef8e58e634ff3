//! GitHub's commit statuses: <https://docs.github.com/en/rest/commits/statuses>, and the limits of its API:
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

use crate::status::{Response, Status, StatusRequest, StatusState, Verdict};

/// The most characters of a description.
const DESCRIPTION: usize = 140;
/// The most characters of a context.
const CONTEXT: usize = 255;
/// The most that is told of GitHub's own words.
const MESSAGE: usize = 200;

const HEADERS: &[(&str, &str)] = &[
    ("Accept", "application/vnd.github+json"),
    ("Content-Type", "application/json"),
    ("X-GitHub-Api-Version", "2022-11-28"),
];

#[derive(Serialize)]
struct Body<'a> {
    state: &'static str,
    context: String,
    description: String,
    target_url: &'a str,
}

/// The call that sets a status.
pub(super) fn request(api_url: &str, repository: &str, commit: &str, status: &Status<'_>) -> StatusRequest {
    let body = Body {
        state: match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Error => "error",
        },
        context: fit(status.context, CONTEXT),
        description: fit(status.description, DESCRIPTION),
        target_url: status.target_url,
    };
    StatusRequest {
        method: Method::POST,
        url: format!(
            "{}/repos/{repository}/statuses/{commit}",
            api_url.trim_end_matches('/')
        ),
        headers: HEADERS,
        body: serde_json::to_vec(&body).expect("texts are JSON"),
    }
}

/// A text on one line, cut at `limit` characters. GitHub refuses a status with a character beyond U+FFFF
/// ("doesn't accept 4-byte Unicode"), so these are replaced.
fn fit(text: &str, limit: usize) -> String {
    let plain = |found: char| match found {
        found if found.is_control() => ' ',
        found if u32::from(found) > 0xffff => char::REPLACEMENT_CHARACTER,
        found => found,
    };
    let mut rest = text.trim().chars().map(plain);
    let mut fitting: String = rest.by_ref().take(limit).collect();
    if rest.next().is_some() {
        fitting.pop();
        fitting.truncate(fitting.trim_end().len());
        fitting.push('…');
    }
    fitting
}

#[derive(Deserialize)]
struct Problem {
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

/// What GitHub's answer means.
pub(super) fn verdict(response: &Response<'_>) -> Verdict {
    let status = response.status.as_u16();
    let message = words(response.body);
    match status {
        200..=299 => Verdict::Taken,
        429 => Verdict::Limited { wait: wait(response) },
        // The same status says "not allowed" and "not so fast".
        403 if is_limit(response.headers, &message) => Verdict::Limited { wait: wait(response) },
        408 | 500..=599 => Verdict::Trouble,
        _ => Verdict::Refused {
            message: if message.is_empty() {
                status.to_string()
            } else {
                format!("{status}: {message}")
            },
            hint: hint(status),
        },
    }
}

const fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => "the repository or the API has moved: give the new name or `api_url`",
        401 => "the token is wrong or has ended: put a new one in place and start the server again",
        403 => {
            "give the token the right to write commit statuses of this repository, or put one that has it in place"
        }
        404 => "check the repository's name and `api_url`, and that the token may see the repository",
        422 => {
            "the provider does not know the commit, or has enough statuses of it; nothing can be done for this one"
        }
        _ => "check `api_url`",
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn is_limit(headers: &HeaderMap, message: &str) -> bool {
    headers.contains_key("retry-after")
        || header(headers, "x-ratelimit-remaining") == Some("0")
        || message.to_ascii_lowercase().contains("rate limit")
}

/// `Retry-After` in seconds; else, where nothing is left, until `X-RateLimit-Reset` in seconds since the epoch.
fn wait(response: &Response<'_>) -> Option<Duration> {
    if let Some(seconds) = header(response.headers, "retry-after") {
        return seconds.parse().ok().map(Duration::from_secs);
    }
    if header(response.headers, "x-ratelimit-remaining") != Some("0") {
        return None;
    }
    let reset: u64 = header(response.headers, "x-ratelimit-reset")?.parse().ok()?;
    let reset = UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
    // A second more, because the moment is a whole second.
    let left = reset.duration_since(response.received).unwrap_or_default();
    Some(left + Duration::from_secs(1))
}

/// GitHub's own words, short.
fn words(body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return fit(&String::from_utf8_lossy(body), MESSAGE);
    };
    let details: Vec<String> = problem
        .errors
        .iter()
        .filter_map(|error| match error {
            serde_json::Value::String(text) => Some(text.clone()),
            other => other.get("message")?.as_str().map(str::to_owned),
        })
        .collect();
    if details.is_empty() {
        fit(&problem.message, MESSAGE)
    } else {
        fit(&format!("{}: {}", problem.message, details.join("; ")), MESSAGE)
    }
}

#[cfg(test)]
mod tests;
