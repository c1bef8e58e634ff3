//! Sending the spool to the server, until it is empty and nothing more comes.

use std::sync::Arc;
use std::time::Duration;

use api::runner::task::OutputRequest;
use client::{Client, Effort};
use sys::process::boot_time_now;

use crate::control::{Control, Stop};
use crate::heartbeat::Keeper;
use crate::retry::{Backoff, FULL_SERVER};
use crate::spool::Spool;

/// About how much goes in one call; a single chunk may be more.
const BATCH: usize = 512 * 1024;

/// Who sends.
#[derive(Debug)]
pub(crate) struct Shipper {
    pub(crate) spool: Arc<Spool>,
    pub(crate) client: Client,
    pub(crate) control: Control,
    pub(crate) keeper: Keeper,
    /// How long a writer waits for the spool while the server has room.
    pub(crate) patience: Duration,
    /// How long one call may take.
    pub(crate) limit: Duration,
}

impl Shipper {
    /// Sends chunks until the attempt is over. Each is sent until the server says that it is stored.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_secs(5));
        let mut most = BATCH;
        loop {
            let chunks = self.spool.batch(most);
            let Some(first) = chunks.first().map(|chunk| chunk.sequence) else {
                self.spool.filled().await;
                continue;
            };
            let count = chunks.len();
            let request = OutputRequest { chunks };
            let sent = boot_time_now();
            match self.client.output(&request, Effort::Once(self.limit)).await {
                Ok(answer) if answer.stored >= first => {
                    self.keeper.renew(sent);
                    self.spool.stored(answer.stored);
                    self.spool.set_patience(self.patience);
                    backoff.reset();
                    most = (most * 2).min(BATCH);
                }
                Ok(answer) => {
                    if answer.stored + 1 < first {
                        tracing::warn!(stored = answer.stored, "the server lost output that it had");
                        self.spool.fill_gap(answer.stored + 1);
                    }
                    backoff.pause().await;
                }
                Err(error) if error.is_gone() => {
                    self.control.raise(Stop::Gone);
                    return;
                }
                Err(error) => {
                    tracing::debug!(error = %error.chain(), "output is sent again");
                    if error.status() == Some(507) {
                        // It is there and will have room again: better a step that waits than output that is lost.
                        self.spool.set_patience(FULL_SERVER);
                    }
                    // Too large, or too slow for the time that it had.
                    if count > 1 {
                        most /= 2;
                    }
                    backoff.pause().await;
                }
            }
        }
    }
}
