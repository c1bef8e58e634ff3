//! The end: nothing of the task is left, and whoever must know is told.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::goat::{TerminationKind, TerminationMessage};
use sys::process::End;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::Supervisor;
use crate::failure::{Failure, explanation, looks_killed, settle};
use crate::report::{HURRIED, Haste, Reporter, UNCLAIM_HURRIED};
use crate::termination;

/// How long something that will not die holds up the end.
const LONGEST_DYING: Duration = Duration::from_secs(2);
/// How often everything is killed again: something may have forked while it was looked for.
const KILL_AGAIN: Duration = Duration::from_millis(20);

impl Supervisor {
    /// Kills first, so that whoever hears of the end can rely on it; then tells.
    pub(super) async fn conclude(mut self, failure: Option<Failure>) -> ExitCode {
        self.end_children().await;
        let failure = settle(failure, self.children.agent_end());
        let failure = self.complete(failure).await;
        let mut message = self.termination_message(failure.as_ref());
        match &failure {
            None => tracing::info!("the task is over"),
            Some(_) => tracing::error!("{}", message.message),
        }
        // Also before the report: whoever stops this process may not wait for it.
        termination::write(&self.task.termination_message_path, &message);

        let handled = match &failure {
            None => true,
            Some(failure) => self.report(failure).await,
        };

        if failure.is_some() && handled {
            message.reported = true;
            termination::write(&self.task.termination_message_path, &message);
        }
        // What was handled, and an end that was asked for, are no failures of this process.
        if handled || self.interruption.is_some() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    async fn end_children(&mut self) {
        let deadline = Instant::now() + LONGEST_DYING;
        loop {
            self.children.kill_everything();
            if !self.collect() {
                return;
            }
            let now = Instant::now();
            if now >= deadline {
                tracing::warn!("a process of the task does not die");
                return;
            }
            self.turn(Some(deadline.min(now + KILL_AGAIN))).await;
        }
    }

    /// Adds what the task agent wrote to its standard error.
    async fn complete(&mut self, failure: Option<Failure>) -> Option<Failure> {
        let written = match self.children.take_relay() {
            Some(relay) => relay.finish().await,
            None => return failure,
        };
        Some(match failure? {
            Failure::AgentEnded { reaped, .. } => Failure::AgentEnded {
                reaped,
                stderr: written,
            },
            other => other,
        })
    }

    fn termination_message(&self, failure: Option<&Failure>) -> TerminationMessage {
        let (kind, what) = match failure {
            None => (
                TerminationKind::Completed,
                "the task agent has ended well".to_owned(),
            ),
            Some(failure) => (
                failure.kind(),
                String::from_utf8_lossy(&failure.message()).into_owned(),
            ),
        };
        let end = self.children.agent_end().map(|reaped| reaped.end);
        let out_of_memory = end
            .filter(|&end| looks_killed(end))
            .and_then(|_| self.memory.killed_since());
        let what = match end.and_then(|end| explanation(end, out_of_memory.as_ref())) {
            // An end that this process itself brought about explains nothing.
            Some(explanation) if matches!(failure, Some(Failure::AgentEnded { .. })) => {
                format!("{what} ({explanation})")
            }
            _ => what,
        };
        let message = match &self.interruption {
            Some(interruption) => format!("interrupted by {}: {what}", interruption.by),
            None => what,
        };
        let (exit_code, signal) = match end {
            Some(End::Exited(code)) => (Some(code), None),
            Some(End::Signalled { signal, .. }) => (None, Some(signal)),
            None => (None, None),
        };
        TerminationMessage {
            kind,
            message,
            exit_code,
            signal,
            interrupted_by: self
                .interruption
                .as_ref()
                .map(|interruption| interruption.by.clone()),
            oom: out_of_memory.is_some(),
            reported: false,
            duration_ms: u64::try_from(self.children.agent_time().as_millis()).unwrap_or(u64::MAX),
            max_rss_kib: self.figures.max_rss_kib(),
        }
    }

    /// Tells the runner API. Signals are still taken meanwhile; one that asks for the end leaves it little time.
    async fn report(&mut self, failure: &Failure) -> bool {
        let reporter = Reporter::new(&self.task, self.instance.clone(), Arc::clone(&self.figures));
        let interrupted = self.interruption.is_some();
        let haste = if interrupted {
            Haste::Interrupted
        } else {
            Haste::None
        };
        let mut limit = interrupted.then(|| Instant::now() + HURRIED);
        let (hurry, hurried) = oneshot::channel();
        let mut hurry = Some(hurry);
        let enough = async {
            if hurried.await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(UNCLAIM_HURRIED).await;
        };
        let mut calls = std::pin::pin!(reporter.report(failure, haste, enough));
        loop {
            tokio::select! {
                handled = &mut calls => return handled,
                () = self.turn(limit) => {}
            }
            if limit.is_none() && self.interruption.is_some() {
                limit = Some(Instant::now() + HURRIED);
                // Nobody waits for it where the task has been given back already.
                let _ = hurry.take().map(|hurry| hurry.send(()));
            }
            if limit.is_some_and(|limit| Instant::now() >= limit) {
                tracing::error!("the runner API did not answer in the time that is left");
                return false;
            }
        }
    }
}
