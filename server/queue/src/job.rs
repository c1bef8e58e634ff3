//! A job and all attempts at it.

use api::plan::{Need, PlannedJob};
use api::runner::presence::CancelOrder;
use api::{Cause, Millis, Outcome, TaskId};
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::event::Effect;
use crate::time::Time;

/// A job and all attempts at it. Its fields are to be read; only the rules change them.
///
/// Serialized it is all that must be durable. Leases are not in it: the store keeps
/// [`lease`](Self::lease) beside a job and gives it back with [`set_lease`](Self::set_lease), or calls
/// [`after_restart`](Self::after_restart) where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The task that it is in the runner API.
    pub task: TaskId,
    /// Its name in the plan.
    pub name: String,
    /// The resource class that must run it.
    pub resource_class: String,
    /// What must have ended, and how, before it is queued.
    pub needs: Vec<Need>,
    /// Whether an infrastructure failure after its first `run` operation began may run it again.
    pub retry_infra: bool,
    /// The longest that an attempt may take from `starting` on.
    pub time_limit: Millis,
    /// Its state.
    pub state: JobState,
    /// When it was first queued: a job that is queued again keeps its place.
    pub queued_at: Option<Time>,
    /// Every attempt, oldest first. Only the last one can be open.
    pub attempts: Vec<Attempt>,
}

/// What a plan leaves to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDefaults {
    /// The resource class of a job that names none.
    pub resource_class: String,
    /// The time limit of a job that names none.
    pub time_limit: Millis,
}

/// The state of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Something that it needs has not ended.
    Blocked,
    /// It waits for an agent.
    Queued {
        /// Since when; a job that is queued again keeps its first moment.
        since: Time,
    },
    /// It has an attempt that is open, or whose infrastructure failure is not settled yet.
    Running,
    /// It ended, and never changes again.
    Ended(Ended),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why, where it did not succeed.
    pub cause: Option<Cause>,
    /// With `skipped`: the need that did not end as required.
    pub because: Option<String>,
    /// When.
    pub at: Time,
}

impl Job {
    /// A job of a plan, blocked. [`settle`](crate::settle) queues it when nothing is in its way.
    #[must_use]
    pub fn planned(task: TaskId, planned: &PlannedJob, defaults: &JobDefaults) -> Self {
        Self {
            task,
            name: planned.name.clone(),
            resource_class: planned
                .resource_class
                .clone()
                .unwrap_or_else(|| defaults.resource_class.clone()),
            needs: planned.needs.clone(),
            retry_infra: planned.retry_infra,
            time_limit: planned.time_limit.unwrap_or(defaults.time_limit),
            state: JobState::Blocked,
            queued_at: None,
            attempts: Vec::new(),
        }
    }

    /// How it ended, once it did.
    #[must_use]
    pub const fn ended(&self) -> Option<&Ended> {
        match &self.state {
            JobState::Ended(ended) => Some(ended),
            JobState::Blocked | JobState::Queued { .. } | JobState::Running => None,
        }
    }

    /// The attempt with that number.
    #[must_use]
    pub fn attempt(&self, number: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.number == number)
    }

    /// The open attempt, if there is one.
    #[must_use]
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.is_open())
    }

    /// The order to stop that attempt, if it is open and there is one: news for its task agent and holder.
    #[must_use]
    pub fn cancel_order(&self, number: u32) -> Option<&CancelOrder> {
        self.attempt(number)
            .filter(|attempt| attempt.is_open())
            .and_then(|attempt| attempt.cancelling.as_ref())
            .map(|cancelling| &cancelling.order)
    }

    /// When the last attempt's task lease ends: the one thing of a job that is not serialized.
    #[must_use]
    pub fn lease(&self) -> Option<Time> {
        self.attempts.last().map(|attempt| attempt.lease_ends)
    }

    /// Gives a job that was just loaded the lease that was kept beside it.
    pub fn set_lease(&mut self, ends: Time) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.lease_ends = ends;
        }
    }

    /// Gives the last attempt's lease a full term: after a start of the store, when nobody could renew it. Also
    /// for a closed attempt, whose place may still run steps.
    pub fn after_restart(&mut self, now: Time) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.lease_ends = now.after(attempt.lease_term());
        }
    }

    /// Whether both are the same on disk: they may differ in leases only.
    #[must_use]
    pub fn same_record(&self, other: &Self) -> bool {
        let without_leases = |job: &Self| {
            let mut job = job.clone();
            for attempt in &mut job.attempts {
                attempt.lease_ends = Time::default();
            }
            job
        };
        without_leases(self) == without_leases(other)
    }

    /// Queues it.
    pub(crate) fn queue(&mut self, now: Time) {
        let since = *self.queued_at.get_or_insert(now);
        self.state = JobState::Queued { since };
    }

    /// Ends it. A job that has ended stays as it is.
    pub(crate) fn end(
        &mut self,
        outcome: Outcome,
        cause: Option<Cause>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) {
        if self.ended().is_none() {
            effects.push(Effect::JobEnded {
                outcome,
                cause: cause.clone(),
            });
            self.state = JobState::Ended(Ended {
                outcome,
                cause,
                because: None,
                at: now,
            });
        }
    }
}
