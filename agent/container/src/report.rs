//! What the agent tells the server about one attempt, and how long it keeps trying.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::runner::Holder;
use api::runner::presence::{Life, StatusRequest};
use api::runner::report::{CauseRequest, FailRequest, PhaseRequest, UnclaimRequest};
use api::{AttemptRef, Cause, Terms};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Client, ClientError, Effort};
use driver::Progress;
use tokio::sync::mpsc;

use crate::state::Record;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The server took it.
    Taken,
    /// The attempt is over, or not this agent's any more (410).
    Gone,
    /// The server did not take it, or could not be reached for as long as was tried.
    Refused,
}

/// Speaks for one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    client: Client,
    holder: Holder,
    attempt: AttemptRef,
    terms: Terms,
}

impl Reporter {
    pub(crate) fn new(client: Client, holder: Holder, record: &Record) -> Self {
        let attempt = record.labels.attempt.clone();
        Self {
            client,
            holder,
            attempt,
            terms: record.terms.clone(),
        }
    }

    /// Reports phases as they come, until no more can come.
    pub(crate) async fn phases(self, mut progress: mpsc::UnboundedReceiver<Progress>) {
        // A phase that could not be told for so long is no news any more.
        let effort = Effort::Within(self.terms.lease_before.duration() / 3);
        let mut telling = true;
        while let Some(Progress { phase, detail }) = progress.recv().await {
            if !telling {
                continue;
            }
            let request = PhaseRequest {
                attempt: self.attempt.clone(),
                holder: Some(self.holder.clone()),
                phase,
                detail,
            };
            let answer = self.answer("phase", self.client.phase(&request, effort).await);
            telling = answer != Answer::Gone;
        }
    }

    /// Sharpens the cause while the place is still there. It is worth a short try: what closes the window
    /// says it again.
    pub(crate) async fn cause(&self, cause: &Cause) -> Answer {
        let effort = Effort::Within(self.terms.window.duration());
        self.tell(Some(cause.clone()), false, effort).await
    }

    /// Says that the place is gone and nothing can start it again.
    pub(crate) async fn place_removed(&self, cause: Option<Cause>) -> Answer {
        self.tell(cause, true, Effort::Within(self.terms.resend.duration()))
            .await
    }

    /// Reports an infrastructure failure while the place cannot be removed.
    pub(crate) async fn fail(&self, message: &str) -> Answer {
        let request = FailRequest {
            allocation: self.attempt.to_string(),
            timestamp: now(),
            message: STANDARD.encode(message),
            holder: Some(self.holder.clone()),
        };
        let effort = Effort::Within(self.terms.window.duration());
        self.answer("fail", self.client.fail(&request, effort).await)
    }

    /// Gives the attempt back.
    pub(crate) async fn unclaim(&self, message: &str, within: Duration) -> Answer {
        let request = UnclaimRequest {
            task_id: self.attempt.task.to_string(),
            task_token: None,
            attempt: Some(self.attempt.clone()),
            holder: Some(self.holder.clone()),
            message: Some(message.to_owned()),
        };
        self.answer(
            "unclaim",
            self.client.unclaim(&request, Effort::Within(within)).await,
        )
    }

    /// Whether the attempt lives on with another agent, so that its place must not be touched.
    pub(crate) async fn is_elsewhere(&self) -> bool {
        let request = StatusRequest {
            attempts: vec![self.attempt.clone()],
        };
        let effort = Effort::Within(self.terms.resend.duration());
        match self.client.attempts_status(&request, effort).await {
            Ok(answer) => answer.attempts.iter().any(|status| {
                status.attempt == self.attempt
                    && status.life == Life::Live
                    && status
                        .holder
                        .as_ref()
                        .is_some_and(|holder| holder.agent != self.holder.agent)
            }),
            Err(error) => {
                tracing::warn!(attempt = %self.attempt, error = %error.chain(), "could not ask whose the attempt is");
                // Without the server's word nothing is removed; the sweep asks again.
                true
            }
        }
    }

    async fn tell(&self, cause: Option<Cause>, place_removed: bool, effort: Effort) -> Answer {
        let request = CauseRequest {
            attempt: self.attempt.clone(),
            holder: Some(self.holder.clone()),
            cause,
            place_removed,
        };
        self.answer("cause", self.client.cause(&request, effort).await)
    }

    fn answer(&self, call: &'static str, result: Result<(), ClientError>) -> Answer {
        match result {
            Ok(()) => Answer::Taken,
            Err(error) if error.is_gone() => Answer::Gone,
            Err(error) => {
                tracing::warn!(attempt = %self.attempt, call, error = %error.chain(), "a report was not taken");
                Answer::Refused
            }
        }
    }
}

/// Milliseconds since the epoch, for display.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
