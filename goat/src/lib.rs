//! GOAT: PID 1 of every task container.
//!
//! It starts the task agent, passes its output on, collects every orphan, tells the runner API what the task
//! agent cannot tell itself, and leaves nothing running. It knows nothing about steps, plans or logs: that is
//! the task agent's. Everything runs on one thread, because a child dies with the thread that started it and
//! because whoever collects children must be one.

pub mod app;
pub mod config;
pub mod error;
pub mod go_duration;
pub mod logs;

mod build;
mod excerpt;
mod failure;
mod figures;
#[cfg(test)]
mod fuzz;
mod health;
mod memory;
mod probe;
mod report;
mod supervisor;
mod termination;
mod user;
