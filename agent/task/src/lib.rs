//! The task agent: runs the steps of one task inside its container.
//!
//! It is GOAT's child. It fetches its task with the task token, runs the steps one after the other, ships
//! their output, keeps the task lease, and sends the terminal record. It decides nothing that the server
//! decides: what an outcome leads to, and whether an attempt may run again, is not known here.
//!
//! One thread runs everything (a tokio current-thread runtime): that thread forks, so that the parent-death
//! signal of its children fires only when the whole process ends, and it is the only one that waits for
//! children.

pub mod app;
pub mod config;
pub mod credential;
pub mod error;

mod children;
mod context;
mod control;
mod decide;
mod environment;
mod finish;
mod folder;
mod heartbeat;
mod lease;
mod mask;
mod oom;
mod operations;
mod output;
mod prepare;
mod reports;
mod retry;
mod shipper;
mod spool;
mod steps;
mod supervise;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what no await is held over. A panic elsewhere must not stop the terminal record, so a poisoned lock
/// is taken as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
