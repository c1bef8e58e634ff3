//! The container agent: claims tasks, gives each a place through a driver, watches it, and removes it.
//!
//! It owns the agent's folder (`state`), what the agent holds (`holdings`), and who is told what when. It
//! does not know what a place is (that is the driver's), does not run steps (the task agent does), and
//! decides no outcome (the server does).
//!
//! One process is one [`Agent`]. It has these parts, each with its own module:
//! - `presence` says that the agent is alive and carries the server's orders to the attempts;
//! - `claim` asks for tasks, one open nonce at a time, while there are free slots;
//! - `attempt` sees one attempt through, from its place's start to its place's end;
//! - `tidy` adopts places whose agent is gone, and removes places whose attempt is over.

mod agent;
mod attempt;
mod claim;
mod config;
mod ending;
mod error;
mod holdings;
mod presence;
mod report;
mod shared;
mod state;
mod tidy;

pub use agent::Agent;
pub use config::{AgentConfig, PlaceLife, StateLife};
pub use error::AgentError;
