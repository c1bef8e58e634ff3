//! `run`: a command in a new shell.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::Cause;
use api::runner::task::Stream as Source;
use sys::process::{Group, SpawnError, SpawnRequest, Stage, Stream};

use super::{Current, Failure};
use crate::children::Child;
use crate::decide::{Ending, cause_of};
use crate::environment::{Variables, is_program, of_step, shell};
use crate::oom::OomWatch;
use crate::output::{Heard, Pump};
use crate::supervise::{Silence, Watched};

/// How long a step may write nothing, where the step does not say.
const DEFAULT_SILENCE: Duration = Duration::from_secs(600);

/// What to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command<'step> {
    pub(super) text: &'step str,
    pub(super) shell: Option<&'step str>,
    pub(super) folder: Option<&'step str>,
    pub(super) environment: &'step BTreeMap<String, String>,
    pub(super) silence: Option<Duration>,
}

/// A child with its output.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) heard: Arc<Heard>,
    pub(super) stdout: Pump,
    pub(super) stderr: Pump,
}

impl Running {
    /// Everything that was written until now is in the spool after this.
    pub(super) async fn settle(&self) {
        tokio::join!(self.stdout.settle(), self.stderr.settle());
    }
}

/// Runs a command.
pub(super) async fn run(current: Current<'_>, command: Command<'_>) -> Result<(), Failure> {
    let context = current.context;
    let folder = command
        .folder
        .map_or_else(|| context.folder.clone(), |folder| context.path(folder));
    let Some(shell) = shell(command.shell, context.task.shell.as_deref(), is_program) else {
        let sentence = "this image has no shell: neither /bin/bash nor /bin/sh is there";
        return Err(current.fail(127, sentence).await);
    };
    let header = format!("#!{}\n{}", shell.join(" "), command.text.trim_end_matches('\n'));
    current.say(&header).await;
    if let Err(error) = fs::create_dir_all(&folder) {
        let sentence = format!(
            "the working directory {} cannot be made: {error}",
            folder.display()
        );
        return Err(current.fail(1, &sentence).await);
    }
    let script = match write_script(&context.private, current.number, command.text) {
        Ok(script) => script,
        Err(error) => {
            return Err(Failure::infrastructure(no_script(&context.private, &error)));
        }
    };
    let variables = of_step(
        &context.base,
        &context.task.secrets,
        &context.task.environment,
        command.environment,
        context.helpers(),
    );
    let program = shell.first().cloned().unwrap_or_default();
    let argv = shell.into_iter().map(PathBuf::from).chain([script]);
    let oom = OomWatch::start();
    let mut running = match start(current, argv, variables, &folder) {
        Ok(running) => running,
        Err(error) => return Err(not_started(current, &program, &error).await),
    };
    let silence = Silence {
        heard: Arc::clone(&running.heard),
        limit: command.silence.unwrap_or(DEFAULT_SILENCE),
    };
    let limit = silence.limit;
    let watched = context.supervisor.watch(&mut running.child, Some(silence)).await;
    running.settle().await;
    judge(current, watched, limit, &oom).await
}

async fn judge(
    current: Current<'_>,
    watched: Watched,
    limit: Duration,
    oom: &OomWatch,
) -> Result<(), Failure> {
    match watched {
        Watched::Ended(end) => {
            let ending = Ending::from(end);
            match cause_of(ending, oom.cause()) {
                None => Ok(()),
                Some(cause) => Err(Failure::Failed { ending, cause }),
            }
        }
        Watched::Silent(end) => {
            let sentence = format!(
                "the step wrote nothing for {} s, so it was ended",
                limit.as_secs_f32()
            );
            current.say(&sentence).await;
            Err(Failure::Failed {
                ending: end.map_or(Ending::KILLED, Ending::from),
                cause: Cause::NoOutput {
                    step: current.step.name.clone(),
                },
            })
        }
        Watched::Stopped(end) => Err(Failure::Stopped {
            ending: end.map_or(Ending::KILLED, Ending::from),
        }),
    }
}

async fn not_started(current: Current<'_>, program: &str, error: &StartError) -> Failure {
    let StartError::Spawn(error) = error else {
        let message = format!("no pipes for a step: {error}");
        return Failure::infrastructure(Cause::Internal { message });
    };
    let (code, sentence) = match error {
        SpawnError::Child {
            stage: Stage::Execute,
            source,
            ..
        } if source.kind() == io::ErrorKind::NotFound => {
            (127, format!("the shell `{program}` is not in this image"))
        }
        SpawnError::Child { stage, source, .. } => (
            126,
            format!("the shell `{program}` cannot be started: could not {stage}: {source}"),
        ),
        other => (126, format!("the shell `{program}` cannot be started: {other}")),
    };
    current.fail(code, &sentence).await
}

/// Why a child was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Pipe(#[from] io::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// Starts a child in a session of its own, with nothing on its standard input and its output pumped.
pub(super) fn start(
    current: Current<'_>,
    argv: impl IntoIterator<Item = PathBuf>,
    variables: Variables,
    folder: &Path,
) -> Result<Running, StartError> {
    let context = current.context;
    let (stdout, stdout_writer) = io::pipe()?;
    let (stderr, stderr_writer) = io::pipe()?;
    let mut request = SpawnRequest::new(argv);
    request.environment = variables.into_iter().collect();
    request.folder = Some(folder.to_owned());
    request.stdin = Stream::Descriptor(nothing()?);
    request.stdout = Stream::Descriptor(stdout_writer.into());
    request.stderr = Stream::Descriptor(stderr_writer.into());
    request.group = Group::NewSession;
    let child = context.supervisor.children.spawn(request)?;
    let heard = Heard::new();
    let pump = |stream, pipe: io::PipeReader| {
        context
            .output
            .pump(current.number, stream, pipe.into(), Arc::clone(&heard))
    };
    Ok(Running {
        child,
        stdout: pump(Source::Stdout, stdout)?,
        stderr: pump(Source::Stderr, stderr)?,
        heard,
    })
}

/// A standard input at its end: `/dev/null`, or a pipe that nobody writes to where the image has none.
fn nothing() -> io::Result<OwnedFd> {
    match File::open("/dev/null") {
        Ok(file) => Ok(file.into()),
        Err(_) => io::pipe().map(|(reader, _)| reader.into()),
    }
}

/// Why a script cannot be written. A full disk is somebody's to mend, and not ours.
fn no_script(private: &Path, error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::DiskFull {
            r#where: private.display().to_string(),
        },
        _ => Cause::Internal {
            message: format!("the script of a step cannot be written: {error}"),
        },
    }
}

fn write_script(private: &Path, number: u32, text: &str) -> io::Result<PathBuf> {
    let path = private.join(format!("step-{number}.sh"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(path)
}
