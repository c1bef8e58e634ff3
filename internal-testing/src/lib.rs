//! Installations made of the compiled binaries, for tests: a server, agents and repositories in temporary
//! folders, pushes as a provider sends them, and the processes behind an attempt.
//!
//! What a test starts is what ships. Only what others run is a fake: a Git provider's API ([`github`]).
//! For tests of GOAT alone there are a runner API ([`runner_api`]) and a task agent (`src/bin/fake_task_agent`) that
//! misbehave on request. Every wait has a deadline, and what a test started ends with it.

pub mod binaries;
pub mod daemon;
pub mod engine;
mod folder;
pub mod git_host;
pub mod github;
pub mod installation;
pub mod memory;
pub mod mounts;
pub mod processes;
pub mod provider;
pub mod registry;
pub mod repository;
pub mod runner_api;
pub mod wait;

pub use daemon::Daemon;
pub use engine::{Container, Engine};
pub use git_host::{HttpHost, SshHost};
pub use github::GitHub;
pub use installation::{Installation, Options};
pub use provider::Provider;
pub use registry::Registry;
pub use repository::Repository;
pub use runner_api::{Answer, Call, RunnerApi};
