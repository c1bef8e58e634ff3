//! Commit statuses, in the server's terms: what is asked of a provider, and what its answer means.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};

/// How a commit does in one context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusState {
    /// It has not ended.
    Pending,
    /// It is good.
    Success,
    /// The commit is at fault.
    Failure,
    /// Something else is at fault.
    Error,
}

/// A status. Its texts are cut and cleaned to what the provider takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// How it does.
    pub state: StatusState,
    /// What it is about; the last status of a context counts.
    pub context: &'a str,
    /// A sentence for people.
    pub description: &'a str,
    /// Where people find out more.
    pub target_url: &'a str,
}

/// A call of a provider's API. The caller adds a bearer token and a user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRequest {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: String,
    /// Headers, beside those of every client.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: Vec<u8>,
}

/// A provider's answer to a [`StatusRequest`].
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, or its beginning.
    pub body: &'a [u8],
    /// When it came.
    pub received: SystemTime,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The provider has it.
    Taken,
    /// Not now, and nothing else with this token either.
    Limited {
        /// How long to wait, where the provider says so.
        wait: Option<Duration>,
    },
    /// Not now: the provider is in trouble.
    Trouble,
    /// Never, as things are.
    Refused {
        /// The provider's own words.
        message: String,
        /// What the operator can do.
        hint: &'static str,
    },
}
