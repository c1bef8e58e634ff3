//! The task agent's errors, and their one mapping to exit codes.

use std::io;
use std::time::Duration;

use client::ClientError;

/// Why the task agent ends without an acknowledged terminal record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskAgentError {
    /// The command line cannot be used.
    #[error("{0}; try `circleci-agent --help`")]
    Usage(String),
    /// It was called as `circleci`.
    #[error("the `circleci` helper has no command in this version of Goatherd")]
    Helper,
    /// The process cannot be set up. Nothing has run.
    #[error("could not {what}")]
    Setup {
        /// What failed.
        what: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is no token. Nothing has run.
    #[error("standard input holds no task token")]
    NoToken,
    /// TERM or INT came before the task was fetched. Nothing has run.
    #[error("interrupted before the task was fetched")]
    Interrupted,
    /// The server cannot be used. Nothing has run.
    #[error("the task could not be fetched")]
    Fetch(#[source] ClientError),
    /// Something else closed the attempt.
    #[error("this attempt is over (410): all that it ran is killed")]
    Gone,
    /// The server would not take the terminal record.
    #[error("the terminal record was refused")]
    Refused(#[source] ClientError),
    /// Nobody acknowledged the terminal record in time.
    #[error("the terminal record was not acknowledged within {} s", .0.as_secs())]
    NotAcknowledged(Duration),
    /// git's credential helper could not ask the task agent.
    #[error("no credential for git")]
    Credential(#[source] io::Error),
}

impl TaskAgentError {
    /// The exit code. 0 means that the terminal record was acknowledged, and nothing else does.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Gone => 3,
            _ => 1,
        }
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
