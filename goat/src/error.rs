//! What can go wrong before a task is supervised, and how that ends the process.
//!
//! What goes wrong with a task is a [`Failure`](crate::failure::Failure): it is reported, not returned.

use std::io;
use std::process::ExitCode;

use init::InitError;

use crate::config::UsageError;

/// Why `orchestrator` cannot do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoatError {
    /// The command line, or a variable that stands for a flag, makes no sense.
    #[error("{0}; see `orchestrator --help`")]
    Usage(UsageError),
    /// The task's configuration cannot be used. It never says what is in it.
    #[error("the configuration cannot be used: {0}")]
    Configuration(String),
    /// `init` failed.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The entrypoint of `override` cannot be executed.
    #[error("could not execute {0}")]
    Execute(String, #[source] io::Error),
    /// The health check API cannot be served.
    #[error("could not serve the health check API at {0}")]
    Bind(String, #[source] io::Error),
    /// `probe` got another answer than "OK", or none.
    #[error("{0} is not live: {1}")]
    Probe(String, String),
    /// The system refuses what every supervisor needs.
    #[error("could not {0}")]
    System(&'static str, #[source] io::Error),
}

impl GoatError {
    /// The exit code that this ends in.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            _ => 1,
        })
    }
}
