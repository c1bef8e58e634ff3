//! The server: webhooks in, tasks out, and what happened to them for people.
//!
//! [`Config`] says what it is to do, [`App::build`] opens its store and binds its address, and
//! [`App::run`] serves until it is told to stop. What may happen to a pipeline, a job and an attempt is
//! decided in `queue` and kept by `store`; this crate translates HTTP to those rules and back (`http`),
//! reads configs from repositories (`compile`, `git`), keeps artifacts on disk (`artifacts`), tells Git
//! providers how commits do (`statuses`), removes what is old (`retention`), sees to it that there is room
//! (`room`) and calls the store when a deadline passes (`clock`).
//! `variables` reads files of variables, and `followed` what git says of a commit's files, for it and for whoever gives
//! a job some.

mod app;
mod artifacts;
mod auth;
mod clock;
mod compile;
mod complaint;
pub mod config;
mod error;
pub mod followed;
mod git;
mod http;
mod retention;
mod room;
mod secrets;
mod serve;
mod statuses;
pub mod variables;

pub use app::{App, OpenStore, create_class_token};
pub use config::{Config, ConfigError};
pub use error::ServerError;
