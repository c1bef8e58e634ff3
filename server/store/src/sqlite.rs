//! SQLite behind the store's contract: one file, one writer thread, some readers.
//!
//! All changes go through the [`writer`], which owns the connection that writes and the active jobs and
//! agents, and takes what waits into one transaction. Reads that need no rule go to the [`readers`] and see
//! what is committed.

pub(crate) mod adoption;
pub(crate) mod agents;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod change;
pub(crate) mod claim;
mod column;
pub(crate) mod deadlines;
mod effects;
pub(crate) mod events;
pub(crate) mod inbox;
pub(crate) mod jobs;
mod log;
pub(crate) mod memory;
pub(crate) mod meta;
pub(crate) mod open;
pub(crate) mod origin;
pub(crate) mod output;
pub(crate) mod pipelines;
pub(crate) mod readers;
pub(crate) mod reports;
pub(crate) mod rerun;
pub(crate) mod retention;
pub(crate) mod schema;
pub(crate) mod statuses;
pub(crate) mod task;
pub(crate) mod tokens;
pub(crate) mod views;
pub(crate) mod writer;
