//! What can stop the steps from outside, and how everyone hears of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A reason to stop the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody cancelled the task.
    Cancelled { by: String, why: String },
    /// The job's time is over.
    TimeLimit,
    /// The server was silent for most of the lease.
    ContactLost {
        /// How long.
        seconds: u64,
        /// What is left for the steps to end by themselves.
        patience: Duration,
    },
    /// TERM or INT, without a reason.
    Terminated,
    /// Something of ours failed.
    Internal { message: String },
    /// The attempt is over: nothing may run any more, and nobody wants a record.
    Gone,
}

/// A stop, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raised {
    /// Which.
    pub(crate) stop: Stop,
    /// When.
    pub(crate) at: Instant,
}

/// Where stops are raised and heard. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Control(Arc<watch::Sender<Option<Raised>>>);

impl Control {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Raises a stop. The first one counts, except that [`Stop::Gone`] overrules every other.
    pub(crate) fn raise(&self, stop: Stop) {
        self.0.send_if_modified(|raised| {
            let news = match raised {
                None => true,
                Some(earlier) => stop == Stop::Gone && earlier.stop != Stop::Gone,
            };
            if news {
                tracing::info!(?stop, "the steps are to stop");
                *raised = Some(Raised {
                    stop,
                    at: Instant::now(),
                });
            }
            news
        });
    }

    /// The stop that counts now.
    pub(crate) fn current(&self) -> Option<Raised> {
        self.0.borrow().clone()
    }

    /// Waits for a stop.
    pub(crate) async fn stopped(&self) -> Raised {
        self.wait_for(|_| true).await
    }

    /// Waits until the attempt is over.
    pub(crate) async fn gone(&self) {
        self.wait_for(|stop| *stop == Stop::Gone).await;
    }

    async fn wait_for(&self, wanted: impl Fn(&Stop) -> bool) -> Raised {
        let mut receiver = self.0.subscribe();
        let found = receiver
            .wait_for(|raised| raised.as_ref().is_some_and(|raised| wanted(&raised.stop)))
            .await
            .ok()
            .and_then(|raised| raised.clone());
        match found {
            Some(raised) => raised,
            // `self` keeps the sender, so this is not reached.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_counts_and_gone_overrules_it() {
        let control = Control::new();

        control.raise(Stop::TimeLimit);
        control.raise(Stop::Terminated);
        assert_eq!(control.current().map(|raised| raised.stop), Some(Stop::TimeLimit));

        control.raise(Stop::Gone);
        control.raise(Stop::Terminated);
        assert_eq!(control.current().map(|raised| raised.stop), Some(Stop::Gone));
    }
}
