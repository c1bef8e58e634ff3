//! Supervises one task: one loop that owns all state, on one thread.
//!
//! Every wait of it is a [`turn`](Supervisor::turn), in which signals are taken and children collected, so
//! neither ever has to wait for anything else: not for the readiness file, the task agent, or the runner API.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::InstanceId;
use api::goat::GoatConfig;
use sys::process::SignalQueue;
use sys::secrecy::OomScore;
use sys::watch::FolderWatch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::config::{RunTask, Settings};
use crate::failure::Failure;
use crate::figures::Figures;
use crate::memory::Memory;
use crate::report::random_hex;
use crate::termination;

mod children;
mod conclusion;
mod relay;
#[cfg(test)]
mod tests;
mod turn;

use children::Children;
use turn::Interruption;

/// How long the readiness file may take.
const READINESS: Duration = Duration::from_secs(600);
/// Not every file system tells about new files.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The state of one task.
#[derive(Debug)]
pub(crate) struct Supervisor {
    signals: AsyncFd<SignalQueue>,
    settings: Settings,
    task: GoatConfig,
    environment: Vec<(OsString, OsString)>,
    oom_score: Option<OomScore>,
    figures: Arc<Figures>,
    instance: Option<InstanceId>,
    children: Children,
    interruption: Option<Interruption>,
    memory: Memory,
    /// That of the readiness file, open to the end: to close it at once would hold up the task agent's start.
    stopped_watch: Option<AsyncFd<FolderWatch>>,
}

impl Supervisor {
    /// Needs a runtime around it.
    pub(crate) fn new(config: RunTask, figures: Arc<Figures>) -> io::Result<Self> {
        let RunTask {
            settings,
            task,
            environment,
            signals,
            oom_score,
        } = config;
        termination::reserve(&task.termination_message_path);
        let instance = task
            .share_instance
            .then(|| InstanceId::new(random_hex(16)).ok())
            .flatten();
        Ok(Self {
            signals: readable(signals)?,
            settings,
            task,
            environment,
            oom_score,
            figures,
            instance,
            children: Children::default(),
            interruption: None,
            memory: Memory::now(),
            stopped_watch: None,
        })
    }

    /// Runs the task to its end, tells whoever must know, and leaves no child.
    pub(crate) async fn run(mut self) -> ExitCode {
        let result = self.supervise().await;
        self.conclude(result.err()).await
    }

    async fn supervise(&mut self) -> Result<(), Failure> {
        self.start_entrypoint()?;
        self.figures.set_ready();
        self.wait_for_readiness_file().await?;
        self.take_signals();
        if self.interruption.is_some() {
            return Err(Failure::InterruptedBefore);
        }
        self.start_agent()?;
        self.wait_for_agent().await
    }

    async fn wait_for_readiness_file(&mut self) -> Result<(), Failure> {
        let file = PathBuf::from(&self.task.readiness_file_path);
        if file.as_os_str().is_empty() || file.exists() {
            return Ok(());
        }
        // Before the next look, so that a file which comes in between is noticed.
        let watch = watch(&file);
        let deadline = Instant::now() + READINESS;
        loop {
            if file.exists() {
                if let Some(watch) = &watch {
                    watch.get_ref().stop();
                }
                self.stopped_watch = watch;
                return Ok(());
            }
            if self.interruption.is_some() {
                return Err(Failure::InterruptedBefore);
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(Failure::NotReady);
            }
            tokio::select! {
                () = self.turn(Some(deadline.min(now + LOOK_AGAIN))) => {}
                () = changed(watch.as_ref()) => {}
            }
        }
    }

    async fn wait_for_agent(&mut self) -> Result<(), Failure> {
        loop {
            if let Some(reaped) = self.children.agent_end() {
                return Failure::of_end(reaped).map_or(Ok(()), Err);
            }
            let deadline = self
                .interruption
                .as_ref()
                .map(|interruption| interruption.deadline);
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Failure::InterruptedWhileRunning);
            }
            self.turn(deadline).await;
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, and what is waited for here owns its one descriptor"
)]
fn readable<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE)
}

fn watch(file: &Path) -> Option<AsyncFd<FolderWatch>> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(".".as_ref());
    let watch = FolderWatch::open(folder).and_then(readable);
    watch
        .inspect_err(|error| {
            tracing::warn!(%error, "the readiness file's folder cannot be watched, so it is looked at");
        })
        .ok()
}

/// Returns when something appeared in the folder; never where it is not watched. Cancel-safe.
async fn changed(watch: Option<&AsyncFd<FolderWatch>>) {
    let Some(watch) = watch else {
        return std::future::pending().await;
    };
    match watch.readable().await {
        Ok(mut guard) => {
            while watch.get_ref().drain().unwrap_or(false) {}
            guard.clear_ready();
        }
        Err(_) => std::future::pending().await,
    }
}
