//! Async client of Goatherd's server: deadlines, retries, TLS roots, user agent.
//!
//! It speaks the runner API for GOAT, task agents and container agents, and, with the feature `people`, the
//! people's API for the command line. It owns how a call is sent and when it is sent again; it does not
//! decide what an answer means.

#[cfg(feature = "people")]
mod attended;
mod builder;
mod error;
#[cfg(feature = "people")]
pub mod people;
mod runner;
mod send;
mod tls;
#[cfg(feature = "artifacts")]
mod upload;
#[cfg(feature = "people")]
mod webhook;

#[cfg(feature = "people")]
pub use attended::Waiting;
pub use builder::{Builder, Client, http};
pub use error::ClientError;
pub use send::Effort;
