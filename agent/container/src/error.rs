//! Why an agent ends.

use std::io;
use std::path::PathBuf;

use api::AgentId;
use client::ClientError;
use driver::DriverError;

/// Why an agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The agent's folder cannot be used.
    #[error("cannot use {} as an agent's folder", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Another process has the agent's folder.
    #[error("the agent's folder {} is held by another process: {holder}", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// What that process wrote about itself.
        holder: String,
    },
    /// The driver failed before anything ran.
    #[error("the driver cannot be used")]
    Driver(#[from] DriverError),
    /// The client cannot be made: the URL is none.
    #[error("the server's URL cannot be used")]
    Url(#[source] ClientError),
    /// The server does not take this agent: its token is wrong, or its id belongs elsewhere.
    #[error("the server does not take this agent")]
    Refused(#[source] ClientError),
    /// A newer process has this agent's id. This one touched nothing and must not be started again.
    #[error(
        "another process took over as agent {agent}: this one ends and leaves everything as it is; give each \
         agent a folder of its own"
    )]
    Replaced {
        /// The id that both have.
        agent: AgentId,
    },
}

/// An error and what is behind it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
