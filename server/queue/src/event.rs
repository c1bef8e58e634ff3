//! What can happen to a job, and what comes of it.

use api::runner::Holder;
use api::runner::presence::CancelOrder;
use api::runner::task::FinishRequest;
use api::{Cause, InstanceId, Outcome, Phase};

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody who may do so cancels the job.
    Cancel(CancelOrder),
    /// Time has passed: whatever is due by now happens, in the order in which it was due.
    Tick,
    /// A call about one attempt.
    Call {
        /// The attempt's number.
        attempt: u32,
        /// The call.
        call: Call,
    },
}

/// Who reports from beside the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reporter {
    /// A container agent, by its resource-class token. [`Agent::hear`](crate::Agent::hear) comes first.
    Agent {
        /// The resource class of its token.
        class: String,
        /// Who it says it is.
        holder: Holder,
    },
    /// GOAT or the task agent, by the task token.
    Place {
        /// Which start of GOAT.
        instance: Option<InstanceId>,
    },
}

/// A call about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `unclaim`, by an agent or GOAT.
    Unclaim {
        /// Who.
        by: Reporter,
        /// Why, for people.
        message: String,
    },
    /// The fail event, by an agent or GOAT.
    Fail {
        /// Who.
        by: Reporter,
        /// What happened, for people.
        message: String,
    },
    /// A phase was reached.
    Phase {
        /// Who says so.
        by: Reporter,
        /// Which.
        phase: Phase,
    },
    /// A better cause, or that the place is gone, or both.
    Cause {
        /// Who says so.
        by: Reporter,
        /// The cause, where one is known.
        cause: Option<Cause>,
        /// Whether the place is gone and nothing can start it again.
        place_removed: bool,
    },
    /// The task agent fetches its task. The first one binds the attempt to its instance.
    Fetch {
        /// Which start.
        instance: Option<InstanceId>,
    },
    /// The task agent's heartbeat. What it must hear is [`Job::cancel_order`](crate::Job::cancel_order).
    Heartbeat {
        /// Which start.
        instance: Option<InstanceId>,
    },
    /// Output, before it is stored.
    Output {
        /// Which start.
        instance: Option<InstanceId>,
        /// The highest number in it; 0 for none.
        last: u64,
    },
    /// A step is about to begin.
    StepBegan {
        /// Which start.
        instance: Option<InstanceId>,
        /// What kind of step.
        kind: StepKind,
    },
    /// A step ended.
    StepEnded {
        /// Which start.
        instance: Option<InstanceId>,
    },
    /// An artifact, cache or other file arrives.
    Upload {
        /// Which start.
        instance: Option<InstanceId>,
    },
    /// The terminal record.
    Finish {
        /// Which start.
        instance: Option<InstanceId>,
        /// The record.
        record: FinishRequest,
        /// The highest contiguous number of output that is stored.
        stored: u64,
    },
}

/// What kind of step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// A `run` operation: it may change the world, so it must not run twice.
    Run,
    /// Any other operation.
    Other,
}

/// What came of an event: for people, and for those who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// An attempt reached a phase.
    Phase {
        /// The attempt's number.
        attempt: u32,
        /// The phase.
        phase: Phase,
    },
    /// An attempt is to be stopped: its task agent and its holder must hear of it.
    CancelOrdered {
        /// The attempt's number.
        attempt: u32,
    },
    /// An attempt closed. Its outcome stands; an infrastructure failure's cause may still become sharper.
    AttemptClosed {
        /// The attempt's number.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// Why.
        cause: Option<Cause>,
    },
    /// A closed attempt's cause became sharper.
    CauseTold {
        /// The attempt's number.
        attempt: u32,
        /// The cause now.
        cause: Cause,
    },
    /// The job waits for an agent again.
    Requeued,
    /// The job ended. Call [`settle`](crate::settle) for its pipeline.
    JobEnded {
        /// How.
        outcome: Outcome,
        /// Why.
        cause: Option<Cause>,
    },
}
