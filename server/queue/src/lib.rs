//! The rules: states of pipelines, jobs and attempts, and who may change them.
//!
//! Pure: no I/O, no clock, no randomness. Time comes in as [`Time`]. The store loads a [`Job`] or an
//! [`Agent`], calls a rule from its one writer, and saves what the rule changed; a rule that answers a
//! [`Refusal`] has changed nothing but a lease. `docs/task-lifecycle.md` is the page to read first.
//!
//! - [`Job`] is the aggregate: what people asked for, and every [`Attempt`] at it. Only its last attempt can
//!   be open. [`Job::apply`] takes every [`Event`]; [`Job::claim`], [`Job::presence`], [`Job::adopt`] and
//!   [`Job::status`] are the agents' calls that have answers of their own.
//! - [`Agent`] is one container agent: its incarnation, nonce, reach and presence. Each call of an agent goes
//!   through [`Agent::hear`] first.
//! - [`settle`] moves jobs that wait for others; [`pipeline_outcome`] is how all of them together ended.
//! - [`choose`] picks a job for an agent.
//! - [`Job::commit_status`] is what a Git provider is told of a job.

mod adopt;
mod agent;
mod apply;
mod attempt;
mod call;
mod cancel;
mod cause;
mod choose;
mod claim;
mod close;
mod commit_status;
mod deadline;
mod event;
mod finish;
mod job;
mod lease;
mod presence;
mod refusal;
mod rules;
mod settle;
mod time;
mod window;

#[cfg(test)]
mod tests;

pub use agent::{Agent, Arrival, Ask, NonceAge, NonceAnswer};
pub use attempt::{After, Attempt, Cancelling, Closed, Closer, MustBeGone, Record, Teller};
pub use choose::{Candidate, Offer, choose, runs_services};
pub use commit_status::{CommitStatus, StatusState};
pub use deadline::Due;
pub use event::{Call, Effect, Event, Reporter, StepKind};
pub use job::{Ended, Job, JobDefaults, JobState};
pub use refusal::Refusal;
pub use settle::{Settled, pipeline_outcome, settle};
pub use time::Time;

/// How often infrastructure may fail a job before the job fails with it.
pub const ATTEMPTS_BY_INFRASTRUCTURE: usize = 3;
