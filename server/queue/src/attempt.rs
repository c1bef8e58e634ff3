//! One attempt at a job.

use api::runner::Holder;
use api::runner::presence::CancelOrder;
use api::{AgentId, Cause, InstanceId, Millis, Outcome, Phase, Reach, Terms};
use serde::{Deserialize, Serialize};

use crate::deadline::Due;
use crate::time::Time;

/// One attempt at a job. Its fields are to be read; only the rules change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// Who holds it.
    pub holder: Holder,
    /// What its holder can see and remove.
    pub reach: Reach,
    /// The terms it was given; it keeps them.
    pub terms: Terms,
    /// When it was claimed.
    pub claimed_at: Time,
    /// How far it is.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Time,
    /// Whether its holder has listed it, so that the claim is known to have arrived.
    pub listed: bool,
    /// Whether its task agent has called.
    pub called: bool,
    /// The start of GOAT that the attempt is bound to, once `called`.
    pub instance: Option<InstanceId>,
    /// When `starting` was reached: the time limit counts from here.
    pub started_at: Option<Time>,
    /// Whether its first `run` operation began.
    pub began: bool,
    /// When the task lease ends. In memory only: a restart gives it a full term.
    #[serde(skip)]
    pub lease_ends: Time,
    /// Set once it is to be stopped.
    pub cancelling: Option<Cancelling>,
    /// A cause that was told before the attempt closed.
    pub told: Option<Cause>,
    /// Who made it known that the place is gone and cannot run a step any more.
    pub place_gone: Option<Teller>,
    /// How it closed.
    pub closed: Option<Closed>,
}

/// An attempt that is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// The order.
    pub order: CancelOrder,
    /// When the server closes the attempt by itself.
    pub deadline: Time,
}

/// How an attempt closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closed {
    /// How; it never changes.
    pub outcome: Outcome,
    /// Why; an infrastructure failure's becomes sharper while its window is open.
    pub cause: Option<Cause>,
    /// When.
    pub at: Time,
    /// By what: a repeat of the same call gets the same answer.
    pub by: Closer,
    /// What is still to come.
    pub after: After,
}

/// What closed an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closer {
    /// Its terminal record.
    Finish {
        /// Of which start.
        instance: Option<InstanceId>,
        /// The record.
        record: Record,
    },
    /// An unclaim.
    Unclaim(Teller),
    /// A fail event.
    Fail(Teller),
    /// Its holder removed the place.
    PlaceRemoved(AgentId),
    /// A deadline.
    Due(Due),
    /// Its claim never arrived at the agent.
    GivenBack,
}

/// Who told something about an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teller {
    /// A container agent, whatever its incarnation: a restarted one repeats its reports.
    Agent(AgentId),
    /// A start of GOAT.
    Place(Option<InstanceId>),
}

/// What of a terminal record tells it from another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// How the task agent says it ended.
    pub outcome: Outcome,
    /// Why.
    pub cause: Option<Cause>,
    /// The number of the last chunk.
    pub last_sequence: u64,
}

/// What is still to come after an attempt closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// A better cause may come until then.
    Window {
        /// When the cause decides.
        ends: Time,
    },
    /// The job is to be queued again, but not yet.
    Requeue {
        /// Not before this moment.
        not_before: Time,
        /// Whether the place must be known gone, or the task lease over.
        place: MustBeGone,
    },
    /// Nothing.
    Settled,
}

/// Whether a job waits for an old place before it is queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MustBeGone {
    /// Its steps may run: it must be known gone, or its lease over.
    Yes,
    /// No `run` operation began, and none will be let begin.
    No,
}

impl Attempt {
    /// Whether nothing has closed it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether it counts against the attempts that infrastructure may take: a claim that reached nothing costs
    /// none.
    #[must_use]
    pub fn costs(&self) -> bool {
        self.called || self.phase > Phase::Claimed
    }

    /// How much of the job's time limit is used.
    #[must_use]
    pub fn time_used(&self, now: Time) -> Millis {
        self.started_at.map_or(Millis(0), |started| now.since(started))
    }

    /// The term of its task lease now: longer once steps run.
    #[must_use]
    pub const fn lease_term(&self) -> Millis {
        if self.began {
            self.terms.lease_after
        } else {
            self.terms.lease_before
        }
    }
}
