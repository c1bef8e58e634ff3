//! The compiled `orchestrator`, with shell scripts as task agents and a runner API on a real socket.
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod api;
mod commands;
mod configuration;
mod hostile;
mod interruption;
mod place;
mod processes;
mod reports;
mod task_agent;
