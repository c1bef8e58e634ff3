//! What the agent's parts share.

use std::sync::Arc;
use std::time::Duration;

use api::runner::Holder;
use api::{Millis, Terms};
use client::Client;
use driver::{Driver, Order};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::{Beginning, see_through};
use crate::config::AgentConfig;
use crate::holdings::{Holdings, Stage, Wish};
use crate::report::Reporter;
use crate::state::{Record, State};

/// What a call may take beyond what it may wait for.
const MARGIN: Duration = Duration::from_secs(10);

/// What the agent's parts share. One a process, behind an [`Arc`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: AgentConfig,
    pub(crate) client: Client,
    pub(crate) state: Arc<State>,
    pub(crate) holdings: Holdings,
    /// The server's terms for agents: defaults until its first answer.
    pub(crate) terms: watch::Sender<Terms>,
    /// Whether the server knows this incarnation: before, it refuses reports on what an older one held.
    pub(crate) introduced: watch::Sender<bool>,
    /// Whether the server asked for a drain.
    pub(crate) drain: watch::Sender<bool>,
    /// Set when this process takes nothing new any more.
    pub(crate) stopping: CancellationToken,
    /// Set when everything is left as it is.
    pub(crate) quit: CancellationToken,
    /// Owns the tasks that see attempts through.
    pub(crate) attempts: TaskTracker,
}

impl Shared {
    /// This process of this agent.
    pub(crate) fn holder(&self) -> &Holder {
        self.state.holder()
    }

    /// Where tasks run.
    pub(crate) fn driver(&self) -> &Arc<dyn Driver> {
        &self.config.driver
    }

    /// The server's terms for agents now.
    pub(crate) fn terms(&self) -> Terms {
        self.terms.borrow().clone()
    }

    /// How many more attempts it could hold.
    pub(crate) fn free_slots(&self) -> u32 {
        let held = u32::try_from(self.holdings.count()).unwrap_or(u32::MAX);
        self.config.slots.saturating_sub(held)
    }

    /// Speaks for one attempt.
    pub(crate) fn reporter(self: &Arc<Self>, record: &Record) -> Reporter {
        Reporter::new(self.client.clone(), self.holder().clone(), record)
    }

    /// Holds an attempt that a claim brought, and makes its place. Nothing happens where it is held already.
    pub(crate) fn begin(self: &Arc<Self>, record: Record, order: Order) {
        self.spawn(record, Stage::Starting, Beginning::Start(Box::new(order)));
    }

    /// Holds an attempt whose place is there already, and watches it. Nothing happens where it is held
    /// already.
    pub(crate) fn resume(self: &Arc<Self>, record: Record) {
        self.spawn(record, Stage::Running, Beginning::Resume);
    }

    /// Holds an attempt whose place is gone, and tells the server so.
    pub(crate) fn bury(self: &Arc<Self>, record: Record, cause: api::Cause) {
        self.spawn(record, Stage::Ending, Beginning::Gone(cause));
    }

    fn spawn(self: &Arc<Self>, record: Record, stage: Stage, beginning: Beginning) {
        if let Some(wishes) = self.holdings.take(&record.labels.attempt, stage) {
            self.attempts
                .spawn(see_through(Arc::clone(self), record, beginning, wishes));
        }
    }

    /// Strikes an attempt out, on disk first.
    pub(crate) async fn forget(&self, attempt: &api::AttemptRef) {
        if let Err(error) = self.state.forget(attempt.clone()).await {
            // The next start finds it, asks the server and hears that it is over.
            tracing::error!(attempt = %attempt, error = %crate::error::chain(&error), "could not strike out an attempt");
        }
        self.holdings.drop(attempt);
    }

    /// The longest that one long poll may wait, where it renews something that lasts `renews`.
    pub(crate) fn long_poll(&self, renews: Millis) -> Millis {
        self.terms.borrow().long_poll.min(Millis(renews.0 / 3))
    }

    /// How long to wait for an answer to a call that may wait for `wait` itself.
    pub(crate) fn patience(wait: Millis) -> Duration {
        wait.duration().saturating_add(MARGIN)
    }
}

/// The server's latest wish for an attempt that reaches `least`; never returns where none comes.
pub(crate) async fn wished(wishes: &mut watch::Receiver<Wish>, least: Wish) -> Wish {
    let wish = wishes
        .wait_for(|wish| *wish >= least)
        .await
        .ok()
        .map(|wish| *wish);
    match wish {
        Some(wish) => wish,
        // The sender is gone only once the attempt is struck out, which its own task does.
        None => std::future::pending().await,
    }
}
