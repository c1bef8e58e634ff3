//! The store's contract, on real files. Another backend has to pass the same.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod bench;
mod claims;
mod durability;
mod events;
mod folder;
mod pipelines;
mod random;
mod rerun;
mod retention;
mod runner;
mod statuses;
mod tokens;
