//! The end: everything that is spooled, then the terminal record, until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use api::runner::ErrorCode;
use api::runner::task::FinishRequest;
use client::{Client, Effort};
use tokio::sync::oneshot;

use crate::control::Control;
use crate::error::TaskAgentError;
use crate::retry::Backoff;
use crate::spool::Spool;

/// What is needed to finish.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) client: Client,
    pub(crate) control: Control,
    pub(crate) spool: Arc<Spool>,
    /// Resolves when every report of phases and steps is acknowledged.
    pub(crate) reported: oneshot::Receiver<()>,
    /// How long one call may take.
    pub(crate) call: Duration,
    /// How long to go on.
    pub(crate) resend: Duration,
}

impl Finish {
    /// Sends the record until the server acknowledges it.
    pub(crate) async fn send(self, record: &FinishRequest) -> Result<(), TaskAgentError> {
        let (control, resend) = (self.control.clone(), self.resend);
        tokio::select! {
            biased;
            result = self.until_acknowledged(record) => result,
            () = control.gone() => Err(TaskAgentError::Gone),
            () = tokio::time::sleep(resend) => Err(TaskAgentError::NotAcknowledged(resend)),
        }
    }

    async fn until_acknowledged(self, record: &FinishRequest) -> Result<(), TaskAgentError> {
        // An error means that the reporter ended early; the record holds the steps too.
        let _ = self.reported.await;
        let mut backoff = Backoff::new(Duration::from_secs(5));
        loop {
            self.spool.emptied().await;
            let error = match self.client.finish(record, Effort::Once(self.call)).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.is_gone() {
                return Err(TaskAgentError::Gone);
            }
            if error.code() == Some(ErrorCode::OutputMissing) {
                let first = error.first_missing().unwrap_or(record.last_sequence);
                self.spool.fill_gap(first);
            } else if !error.may_pass() {
                return Err(TaskAgentError::Refused(error));
            }
            tracing::debug!(error = %error.chain(), "the terminal record is sent again");
            backoff.pause().await;
        }
    }
}
