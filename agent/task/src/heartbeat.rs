//! Keeping the task lease: heartbeats, and the end of the steps when they are not answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::runner::task::{HeartbeatRequest, HeartbeatResponse};
use api::{Millis, Terms};
use client::{Client, ClientError, Effort};
use sys::process::boot_time_now;
use tokio::sync::Notify;

use crate::control::{Control, Stop};
use crate::lease::Lease;
use crate::lock;
use crate::retry::Backoff;

/// How often the lease is looked at: a suspended machine's timers sleep with it.
const LOOK: Duration = Duration::from_millis(250);

/// The lease and who keeps it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    lease: Arc<Mutex<Lease>>,
    lease_changed: Arc<Notify>,
    client: Client,
    control: Control,
    long_poll: Duration,
}

impl Keeper {
    pub(crate) fn new(lease: Lease, client: Client, control: Control, terms: &Terms) -> Self {
        Self {
            lease: Arc::new(Mutex::new(lease)),
            lease_changed: Arc::new(Notify::new()),
            client,
            control,
            long_poll: terms.long_poll.duration(),
        }
    }

    /// The first `run` operation may start; its *began* was sent at `sent`.
    pub(crate) fn begin(&self, sent: Duration) {
        lock(&self.lease).begin(sent);
        // The open heartbeat was sent under the shorter lease; a new one renews the longer.
        self.lease_changed.notify_one();
    }

    /// A call that was sent at `sent` was answered; each renews the lease.
    pub(crate) fn renew(&self, sent: Duration) {
        lock(&self.lease).renew(sent);
    }

    /// Sends heartbeats until the attempt is over.
    pub(crate) async fn beat(self) {
        let mut cancel_seen = false;
        let mut backoff = Backoff::new(Duration::from_secs(5));
        loop {
            let sent = boot_time_now();
            let length = lock(&self.lease).length();
            let wait = self.long_poll.min(length / 3);
            let beat = tokio::select! {
                beat = self.ask(wait, length, cancel_seen) => beat,
                () = self.lease_changed.notified() => continue,
            };
            match beat {
                Ok(answer) => {
                    self.renew(sent);
                    backoff.reset();
                    let news = answer.cancel.is_some() && !cancel_seen;
                    cancel_seen |= news;
                    self.obey(answer);
                    if !news {
                        // A server that answers at once is not asked in a circle.
                        let early = wait.saturating_sub(boot_time_now().saturating_sub(sent));
                        tokio::time::sleep((early / 4).min(Duration::from_secs(1))).await;
                    }
                }
                Err(error) if error.is_gone() => {
                    self.control.raise(Stop::Gone);
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "a heartbeat was not answered");
                    backoff.pause().await;
                }
            }
        }
    }

    async fn ask(
        &self,
        wait: Duration,
        length: Duration,
        cancel_seen: bool,
    ) -> Result<HeartbeatResponse, ClientError> {
        let request = HeartbeatRequest {
            wait: Millis::from_duration(wait),
            cancel_seen,
        };
        // Half of the lease: what is left is enough for others on a new connection.
        let limit = (wait + length / 6).max(Duration::from_millis(500));
        self.client.heartbeat(&request, Effort::Once(limit)).await
    }

    fn obey(&self, answer: HeartbeatResponse) {
        if let Some(order) = answer.cancel {
            self.control.raise(Stop::Cancelled {
                by: order.by,
                why: order.why,
            });
        }
    }

    /// The server refused a *began* because of a cancel: learns whose, and stops.
    pub(crate) async fn learn_of_cancel(&self, refusal: &ClientError) {
        let length = lock(&self.lease).length();
        if let Ok(answer) = self.ask(Duration::ZERO, length, false).await {
            self.obey(answer);
        }
        // Without effect where the answer said more.
        self.control.raise(Stop::Cancelled {
            by: "unknown".to_owned(),
            why: refusal.to_string(),
        });
    }

    /// Stops the steps when the lease is nearly over.
    pub(crate) async fn watch(self) {
        loop {
            let (left, lost) = {
                let lease = lock(&self.lease);
                let now = boot_time_now();
                (lease.left(now), lease.lost(now))
            };
            if let Some(lost) = lost {
                self.control.raise(Stop::ContactLost {
                    seconds: lost.silence.as_secs(),
                    patience: lost.patience,
                });
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}
