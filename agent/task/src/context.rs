//! What every operation needs to know and to reach.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::runner::task::Task;
use client::Client;
use tokio::time::Instant;

use crate::environment::{Variables, resolve};
use crate::output::Output;
use crate::reports::Reports;
use crate::supervise::Supervisor;

/// One task that runs here.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) task: Task,
    pub(crate) client: Client,
    pub(crate) supervisor: Supervisor,
    pub(crate) output: Output,
    pub(crate) reports: Reports,
    /// The variables that every process starts from.
    pub(crate) base: Variables,
    pub(crate) home: PathBuf,
    /// The task's working directory.
    pub(crate) folder: PathBuf,
    /// Scripts and sockets go here.
    pub(crate) private: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
    /// When the job's time is over.
    pub(crate) deadline: Instant,
}

impl Context {
    /// A path of the config: `~` is the home, what is relative lies under the working directory.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        resolve(path, &self.home, &self.folder)
    }

    /// Where the `circleci` helper lies.
    pub(crate) fn helpers(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("/"))
    }

    /// How long the job may still run.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
