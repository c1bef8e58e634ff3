//! The compiled `orchestrator`, with real processes around it and a runner API on a real socket.
//!
//! [`compatible`] holds what every orchestrator must do that stands beside CircleCI's agents: names, defaults and
//! wire formats. `ORCHESTRATOR_BIN=PATH` runs it on any of them. [`beyond`] holds what ours does better. [`rows`]
//! says which promise is tested where.
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod beyond;
mod compatible;
mod hostile;
mod place;
mod rows;
mod starters;
