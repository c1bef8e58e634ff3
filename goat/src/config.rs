//! What `orchestrator` was told: by its command line, its environment and its configuration. The only reader of
//! the environment.
//!
//! For `run-task` it also makes the process ready to hold a secret, in the one order that works: signals are
//! queued before anything else, because the init of a container loses a TERM that finds no taker; the OOM score
//! is opened while the process is dumpable; the environment is overwritten before any child can look.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use api::goat::GoatConfig;
use sys::process::{Signal, SignalQueue};
use sys::secrecy::{self, OomScore};

use crate::error::GoatError;
use crate::{build, logs, termination};

mod arguments;
mod json;
mod task;

pub use arguments::UsageError;
use arguments::Words;

/// Everything that `orchestrator` needs to know to start.
#[derive(Debug)]
pub struct Config {
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Print(String),
    Init {
        source: PathBuf,
        destination: PathBuf,
    },
    RunTask(Box<RunTask>),
    Override {
        entrypoint: Vec<String>,
        variables: Vec<(String, String)>,
    },
    Probe {
        address: String,
    },
}

/// The flags of `run-task`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) shutdown_delay: Duration,
    pub(crate) grace_period: Duration,
    pub(crate) health_check_addr: String,
}

/// All that `run-task` needs.
#[derive(Debug)]
pub(crate) struct RunTask {
    pub(crate) settings: Settings,
    pub(crate) task: GoatConfig,
    /// What children may see of this process's environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) signals: SignalQueue,
    pub(crate) oom_score: Option<OomScore>,
}

/// Every signal that can be caught and that another process or a terminal sends on purpose. What the kernel
/// sends for this process's own mistakes keeps its effect.
pub(crate) const SIGNALS: [Signal; 15] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGALRM,
    Signal::SIGIO,
    Signal::SIGPWR,
];

impl Config {
    /// Reads the command line and the environment of this process, and for `run-task` the configuration, which
    /// it removes from where it was.
    ///
    /// # Errors
    /// [`GoatError::Usage`] and [`GoatError::Configuration`].
    pub fn from_process() -> Result<Self, GoatError> {
        let words = Words::read(lexopt::Parser::from_env()).map_err(GoatError::Usage)?;
        let command = match words.command() {
            "run-task" => Command::RunTask(Box::new(run_task(&words)?)),
            _ => words
                .complete(&|name| std::env::var_os(name))
                .map_err(GoatError::Usage)?,
        };
        Ok(Self { command })
    }
}

fn run_task(words: &Words) -> Result<RunTask, GoatError> {
    let signals = SignalQueue::open(&SIGNALS).map_err(|error| GoatError::System("queue signals", error))?;
    logs::start();
    tracing::info!(app.date = %build::DATE, app.version = %build::VERSION, "starting orchestrator");
    let oom_score = OomScore::open().ok();
    secrecy::become_undumpable().map_err(|error| GoatError::System("become unreadable", error))?;
    let mut environment = taken_environment();

    let lookup = |name: &str| task::lookup(&environment, name).cloned();
    let settings = words.settings(&lookup).map_err(GoatError::Usage);
    // Read in any case, because the file must not stay.
    let task = task::load(&mut environment).inspect_err(|error| termination::write_unusable("", error))?;
    let settings =
        settings.inspect_err(|error| termination::write_unusable(&task.termination_message_path, error))?;
    Ok(RunTask {
        settings,
        task,
        environment,
        signals,
        oom_score,
    })
}

/// The environment, which this process's own block holds no more.
fn taken_environment() -> Vec<(OsString, OsString)> {
    secrecy::scrub_environment(|name| !task::is_ours(name)).unwrap_or_else(|error| {
        // Without /proc it cannot be done, and nobody can look either.
        tracing::warn!(%error, "the environment is not overwritten");
        std::env::vars_os().collect()
    })
}
