//! Places that run tasks: the [`Driver`] trait, the list of drivers (`registry`) and the drivers themselves.
//!
//! A *place* is whatever holds one attempt: a sandbox on this host, a container with its volumes, a pod.
//! Drivers make, watch, stop, list and remove places. They do not speak to the server: the container agent
//! does, and it decides what happens when.

pub mod local;
pub mod place;
pub mod registry;

use std::fmt;
use std::time::Duration;

use api::{AttemptRef, Cause, Reach};
use async_trait::async_trait;
use tokio::sync::mpsc;

pub use place::{Exit, Labels, Order, Place, Progress};

/// A place that runs tasks.
///
/// Calls for different attempts may overlap. Every method may be repeated: an agent that starts again calls
/// [`start`](Driver::start) again and must get the running task, not a second one.
#[async_trait]
pub trait Driver: Send + Sync + fmt::Debug {
    /// The driver's name, as in the command line and in `claim`.
    fn name(&self) -> &'static str;

    /// What this driver can see and remove. Agents of one reach may adopt each other's places.
    fn reach(&self) -> Reach;

    /// What places of this driver do not promise on this machine although they should, for whoever runs it.
    fn warning(&self) -> Option<&str> {
        None
    }

    /// Makes the place and starts GOAT in it; returns once GOAT runs. Says how far it is over `progress`
    /// (which it never waits for). On an error nothing of the task has run, and
    /// [`remove`](Driver::remove) must still be called.
    ///
    /// # Errors
    /// [`DriverError::Start`] with the cause.
    async fn start(
        &self,
        order: &Order,
        progress: mpsc::UnboundedSender<Progress>,
    ) -> Result<(), DriverError>;

    /// Waits for the place's GOAT to end. Cancel-safe: dropping the future leaves the task running.
    ///
    /// # Errors
    /// [`DriverError::Lost`] where the place ended, or is gone, and nothing says how.
    async fn wait(&self, attempt: &AttemptRef) -> Result<Exit, DriverError>;

    /// Asks GOAT to end: TERM, repeated every second while it runs, then KILL after `grace`. Returns once
    /// GOAT has ended; at once where there is no such place.
    ///
    /// # Errors
    /// When it cannot be stopped.
    async fn stop(&self, attempt: &AttemptRef, grace: Duration) -> Result<(), DriverError>;

    /// Removes the place and all that belongs to it, running or not. When it returns, nothing of the
    /// attempt can run any more and nothing can start it again. A place that is not there is no error.
    ///
    /// # Errors
    /// When something is left.
    async fn remove(&self, attempt: &AttemptRef) -> Result<(), DriverError>;

    /// All places within this driver's reach, of any agent.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn list(&self) -> Result<Vec<Place>, DriverError>;
}

/// A driver's failure, with what the caller needs to decide what comes next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Nothing of the task has run, so another agent may take it.
    #[error("could not start attempt {attempt}: {}", cause.sentence())]
    Start {
        /// The attempt.
        attempt: AttemptRef,
        /// Why.
        cause: Cause,
    },
    /// The task ran and its end is unknown.
    #[error("lost sight of attempt {attempt}: {}", cause.sentence())]
    Lost {
        /// The attempt.
        attempt: AttemptRef,
        /// Why, as far as it is known.
        cause: Cause,
    },
    /// Something on this host refused; trying again may help.
    #[error("{what}")]
    Host {
        /// What was tried.
        what: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The driver cannot be used here at all.
    #[error("the {driver} driver cannot be used: {why}")]
    Unusable {
        /// The driver.
        driver: &'static str,
        /// Why, and what to do.
        why: String,
    },
}
