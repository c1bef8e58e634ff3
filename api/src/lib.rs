//! All that crosses a process border.
//!
//! Server, container agent, task agent and GOAT may differ in age, so they meet in these types alone:
//! the runner API (`runner`), the people's API (`people`), the closed set of operations that a task agent
//! runs (`operation`), GOAT's configuration and termination message (`goat`), causes and outcomes, ids
//! and secrets. Wire shapes are pinned by golden files under `tests/golden/`.
//!
//! It holds no I/O, no clock and no rules about who may do what: those are in `queue`.

pub mod cause;
pub mod goat;
pub mod ids;
pub mod operation;
pub mod outcome;
pub mod people;
pub mod plan;
pub mod runner;
pub mod secret;
pub mod terms;

pub use cause::Cause;
pub use ids::{AgentId, AttemptRef, InstanceId, PipelineId, Reach, TaskId};
pub use outcome::{Outcome, Phase, PipelineOutcome};
pub use plan::Plan;
pub use secret::Secret;
pub use terms::{Millis, Terms};
