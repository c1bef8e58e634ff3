//! How a call can fail, by what the caller does next.

use api::runner::{ApiError, ErrorCode};

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered, and it was no success. Sending the same again will not help, unless the status
    /// is 5xx or 429.
    #[error("the server refused the call with {status}: {}", .error.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        error: ApiError,
    },
    /// No connection could be made: the call was not carried out.
    #[error("cannot reach the server at {server}")]
    Unreachable {
        /// The server's scheme, host and port.
        server: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// No answer, or only half of one. The call may or may not have been carried out.
    #[error("no answer from the server")]
    Transport(#[source] reqwest::Error),
    /// The answer came too late.
    #[error("no answer from the server within {0:?}")]
    Deadline(std::time::Duration),
    /// The answer is not what the API says: another version, or not a Goatherd server.
    #[error("the server's answer does not fit the runner API")]
    Answer(#[source] serde_json::Error),
    /// The client cannot be made.
    #[error("the client cannot be used: {0}")]
    Setup(String),
    /// What was to be sent could not be read.
    #[error("could not read what was to be sent")]
    Source(#[source] std::io::Error),
}

impl ClientError {
    /// The HTTP status, where the server answered.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the attempt, incarnation or nonce is over (410).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.status() == Some(410)
    }

    /// The server's word for what went wrong.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { error, .. } => Some(error.code),
            _ => None,
        }
    }

    /// The first output number that the server misses, where that is why it refused a terminal record.
    #[must_use]
    pub const fn first_missing(&self) -> Option<u64> {
        match self {
            Self::Refused { error, .. } => error.first_missing,
            _ => None,
        }
    }

    /// Whether the same call may succeed later: transport, deadline, 5xx except 501, 429.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Transport(_) | Self::Deadline(_) => true,
            Self::Refused { status, .. } => *status == 429 || (*status >= 500 && *status != 501),
            _ => false,
        }
    }

    /// What went wrong without a word from the server: no connection, or one that broke.
    pub(crate) fn of_transport(error: reqwest::Error) -> Self {
        // A token with a line break, for example: no call can be made of it.
        if error.is_builder() {
            let why = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            return Self::Setup(format!("no call can be made of its token and URL: {why}"));
        }
        match error.url() {
            Some(url) if error.is_connect() => Self::Unreachable {
                server: url.origin().ascii_serialization(),
                source: error.without_url(),
            },
            _ => Self::Transport(error.without_url()),
        }
    }

    /// Whether the machine at the other end refused the connection: nothing listens there.
    #[cfg(feature = "people")]
    pub(crate) fn is_refused_connection(&self) -> bool {
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if kind == Some(std::io::ErrorKind::ConnectionRefused) {
                return true;
            }
            source = error.source();
        }
        false
    }

    /// The error and what is behind it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}
