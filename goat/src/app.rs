//! Does what `orchestrator` was told.
//!
//! [`Config::build`] makes everything that can be refused at once, the health check API's socket among it;
//! [`App::run`] goes on from there to the exit code.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::config::{Command, Config, RunTask};
use crate::error::GoatError;
use crate::figures::Figures;
use crate::supervisor::Supervisor;
use crate::{health, logs, probe, termination};

/// Something to do, ready to be done.
#[derive(Debug)]
pub struct App(Work);

#[derive(Debug)]
enum Work {
    /// Everything but a task.
    Simple(Command),
    Task(Box<Task>),
}

/// A task about to be supervised.
#[derive(Debug)]
struct Task {
    runtime: Runtime,
    listener: TcpListener,
    config: RunTask,
}

impl Config {
    /// Makes what was told ready to run. For a task the health check API's port is open afterwards.
    ///
    /// # Errors
    /// [`GoatError::Bind`] and [`GoatError::System`].
    pub fn build(self) -> Result<App, GoatError> {
        match self.command {
            Command::RunTask(config) => {
                let path = config.task.termination_message_path.clone();
                let task = task(*config).inspect_err(|error| termination::write_unusable(&path, error))?;
                Ok(App(Work::Task(Box::new(task))))
            }
            command => Ok(App(Work::Simple(command))),
        }
    }
}

fn task(config: RunTask) -> Result<Task, GoatError> {
    // One thread: a child dies with the thread that started it.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| GoatError::System("start the runtime", error))?;
    let address = &config.settings.health_check_addr;
    let bound = runtime.block_on(async {
        let listener = health::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    });
    let (listener, bound) = bound.map_err(|error: io::Error| GoatError::Bind(address.clone(), error))?;
    tracing::info!(app.address = %bound, "server: new-server admin");
    if !sys::process::is_init() {
        sys::process::set_subreaper().map_err(|error| GoatError::System("adopt orphans", error))?;
    }
    Ok(Task {
        runtime,
        listener,
        config,
    })
}

impl App {
    /// Does it.
    ///
    /// # Errors
    /// What the command's own work can fail with. A task's failure is none: it is reported, and in the exit
    /// code.
    pub fn run(self) -> Result<ExitCode, GoatError> {
        match self.0 {
            Work::Simple(command) => simple(command),
            Work::Task(task) => Ok(task.run()),
        }
    }
}

fn simple(command: Command) -> Result<ExitCode, GoatError> {
    match command {
        Command::Print(text) => logs::print(&text),
        Command::Init { source, destination } => init::install(&source, &destination)?,
        Command::Override {
            entrypoint,
            variables,
        } => return Err(become_entrypoint(&entrypoint, variables)),
        Command::Probe { address } => probe::probe(&address)?,
        Command::RunTask(_) => unreachable!("`build` makes a task of it"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns only where it cannot be done.
fn become_entrypoint(entrypoint: &[String], variables: Vec<(String, String)>) -> GoatError {
    let (program, words) = entrypoint
        .split_first()
        .expect("an entrypoint without words is refused earlier");
    let own = std::env::current_exe().unwrap_or_else(|_| {
        // Without /proc this process knows itself only by what it was called.
        std::env::args_os()
            .next()
            .map_or_else(|| "orchestrator".into(), PathBuf::from)
    });
    let error = Process::new(program)
        .arg(own)
        .arg("run-task")
        .args(words)
        .envs(variables)
        .exec();
    GoatError::Execute(program.clone(), error)
}

impl Task {
    fn run(self: Box<Self>) -> ExitCode {
        let Self {
            runtime,
            listener,
            config,
        } = *self;
        let code = runtime.block_on(async {
            let figures = Arc::new(Figures::default());
            figures.turned();
            let server = health::serve(listener, Arc::clone(&figures));
            let path = config.task.termination_message_path.clone();
            let code = match Supervisor::new(config, figures) {
                Ok(supervisor) => supervisor.run().await,
                Err(error) => {
                    let error = GoatError::System("wait for signals", error);
                    tracing::error!("{}", logs::chain(&error));
                    termination::write_unusable(&path, &error);
                    ExitCode::FAILURE
                }
            };
            server.abort();
            code
        });
        // A name that is still being looked up would hold up the end.
        runtime.shutdown_background();
        code
    }
}
