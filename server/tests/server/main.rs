//! The server over its sockets: a real server on a free port, a real store, real repositories, real git.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod artifacts;
mod clone;
mod disk;
mod flow;
mod harness;
mod manners;
mod people;
mod polls;
mod private;
mod rerun;
mod retention;
mod said;
mod secrets;
mod start;
mod statuses;
mod webhook;
