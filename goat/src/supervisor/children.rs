//! The two children that this process starts: the custom entrypoint and the task agent.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use api::Secret;
use api::goat::INSTANCE_VARIABLE;
use sys::process::{self, Group, Pid, Reaped, Signal, SpawnRequest, Spawned, Stream};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::Supervisor;
use super::relay::Relay;
use crate::failure::Failure;
use crate::user::{self, Identity, Own};
use crate::{go_duration, logs};

/// Who runs. Every other child is an orphan.
#[derive(Debug, Default)]
pub(super) struct Children {
    entrypoint: Option<Pid>,
    agent: Option<Agent>,
}

/// The task agent, running or ended.
#[derive(Debug)]
struct Agent {
    pid: Pid,
    started: Instant,
    end: Option<(Reaped, Duration)>,
    relay: Option<Relay>,
    token_writer: JoinHandle<()>,
}

impl Children {
    pub(super) fn is_agent(&self, pid: Pid) -> bool {
        self.agent
            .as_ref()
            .is_some_and(|agent| agent.pid == pid && agent.end.is_none())
    }

    pub(super) fn is_entrypoint(&self, pid: Pid) -> bool {
        self.entrypoint == Some(pid)
    }

    /// Kills what is left of the task agent's group, before its number can be given to another.
    pub(super) fn agent_ended(&mut self, reaped: Reaped) {
        if let Some(agent) = &mut self.agent {
            agent.end = Some((reaped, agent.started.elapsed()));
            agent.token_writer.abort();
            kill_group(agent.pid);
        }
    }

    pub(super) fn entrypoint_ended(&mut self) {
        self.entrypoint = None;
    }

    pub(super) fn agent_end(&self) -> Option<Reaped> {
        self.agent.as_ref()?.end.map(|(reaped, _)| reaped)
    }

    /// How long the task agent ran, or has run.
    pub(super) fn agent_time(&self) -> Duration {
        let time = |agent: &Agent| {
            agent
                .end
                .map_or_else(|| agent.started.elapsed(), |(_, time)| time)
        };
        self.agent.as_ref().map(time).unwrap_or_default()
    }

    pub(super) fn take_relay(&mut self) -> Option<Relay> {
        self.agent.as_mut()?.relay.take()
    }

    /// Hands a signal on to the entrypoint.
    pub(super) fn forward(&self, signal: Signal) {
        if let Some(pid) = self.entrypoint {
            send(pid, signal);
        }
    }

    /// Asks the task agent to end. Only itself: it ends its steps in its own way.
    pub(super) fn notify_agent(&self) {
        if let Some(agent) = self.agent.as_ref().filter(|agent| agent.end.is_none()) {
            send(agent.pid, Signal::SIGTERM);
        }
    }

    /// Kills both groups and everything else that this process can tell to be of the task.
    pub(super) fn kill_everything(&self) {
        let agent = self
            .agent
            .as_ref()
            .filter(|agent| agent.end.is_none())
            .map(|agent| agent.pid);
        agent.into_iter().chain(self.entrypoint).for_each(kill_group);
        if process::is_init() {
            let _ = process::kill_all(Signal::SIGKILL);
            return;
        }
        // Without /proc the groups are all that can be told.
        for pid in process::descendants(process::own_pid()).unwrap_or_default() {
            let _ = process::kill_process(pid, Signal::SIGKILL);
        }
    }
}

fn send(pid: Pid, signal: Signal) {
    if let Err(error) = process::kill_process(pid, signal) {
        tracing::warn!(%error, %signal, "a signal could not be handed on");
    }
}

/// What holds nothing to read. An empty root has no `/dev/null`.
fn nothing() -> io::Result<OwnedFd> {
    File::open("/dev/null")
        .map(OwnedFd::from)
        .or_else(|_| io::pipe().map(|(reader, _)| reader.into()))
}

fn kill_group(group: Pid) {
    if let Err(error) = process::kill_group(group, Signal::SIGKILL) {
        tracing::warn!(%error, "a process group could not be killed");
    }
}

impl Supervisor {
    pub(super) fn start_entrypoint(&mut self) -> Result<(), Failure> {
        if self.task.cmd.is_empty() {
            return Ok(());
        }
        let cannot = |cause: String| Failure::EntrypointNotStarted {
            argv: self.task.cmd.clone(),
            cause,
        };
        let mut request = SpawnRequest::new(&self.task.cmd);
        request.stdin = Stream::Descriptor(nothing().map_err(|error| cannot(error.to_string()))?);
        request.environment = self.environment.clone();
        request.group = Group::New;
        request.oom_score = self.oom_score.as_ref();
        let spawned = process::spawn(request).map_err(|error| cannot(logs::chain(&error)))?;
        tracing::info!("the custom entrypoint has started");
        self.children.entrypoint = Some(spawned.pid);
        Ok(())
    }

    pub(super) fn start_agent(&mut self) -> Result<(), Failure> {
        let identity = self.identity()?;
        let cannot = |cause: String| Failure::AgentNotStarted { cause };
        let cannot_io = |error: io::Error| cannot(error.to_string());
        let (token_reader, token_writer) = io::pipe().map_err(cannot_io)?;
        let (stderr_reader, stderr_writer) = io::pipe().map_err(cannot_io)?;
        let mut request = SpawnRequest::new(self.agent_argv());
        request.environment = self.agent_environment(&identity);
        request.stdin = Stream::Descriptor(token_reader.into());
        request.stderr = Stream::Descriptor(stderr_writer.into());
        request.user = identity.ids;
        request.group = Group::New;
        request.oom_score = self.oom_score.as_ref();

        let started = Instant::now();
        let Spawned { pid, .. } = process::spawn(request).map_err(|error| cannot(logs::chain(&error)))?;

        self.figures.set_running(true);
        tracing::info!("the task agent has started");
        let relay = Relay::start(stderr_reader.into())
            .inspect_err(|error| tracing::error!(%error, "the task agent's standard error is not passed on"))
            .ok();
        let token = self.task.token.clone().unwrap_or_else(|| Secret::new(""));
        let token_writer = tokio::spawn(write_token(token_writer.into(), token));
        self.children.agent = Some(Agent {
            pid,
            started,
            end: None,
            relay,
            token_writer,
        });
        Ok(())
    }

    fn identity(&self) -> Result<Identity, Failure> {
        if self.task.user.is_empty() {
            return Ok(Identity::default());
        }
        // An image may have none.
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        let own = Own {
            ids: process::current_user(),
            is_root: process::is_root(),
        };
        user::find(&self.task.user, &String::from_utf8_lossy(&passwd), own).map_err(|error| {
            Failure::UserRefused {
                cause: error.to_string(),
            }
        })
    }

    fn agent_argv(&self) -> Vec<String> {
        let task = &self.task;
        let mut argv: Vec<String> = task.task_agent_path.split(' ').map(str::to_owned).collect();
        argv.extend(["_internal", "agent-runner", "--verbose"].map(str::to_owned));
        argv.push(format!("--runnerAPIBaseURL={}", task.runner_api_base_url));
        argv.push(format!("--allocation={}", task.allocation));
        argv.extend(["--disableSpinUpStep", "--disableIsolatedSSHDir"].map(str::to_owned));
        argv.push(format!("--maxRunTime={}", go_duration::format(task.max_run_time)));
        if !task.ssh_advertise_addr.is_empty() {
            argv.push(format!("--sshAdvertiseAddr={}", task.ssh_advertise_addr));
        }
        argv
    }

    fn agent_environment(&self, identity: &Identity) -> Vec<(OsString, OsString)> {
        let mut environment = self.environment.clone();
        if let Some(folder) = self.agent_folder() {
            let path = match environment.iter().find(|(name, _)| name == "PATH") {
                Some((_, path)) if !path.is_empty() => {
                    let mut path = path.clone();
                    path.push(":");
                    path.push(folder);
                    path
                }
                // An empty entry would mean the working directory.
                _ => folder.to_owned(),
            };
            set(&mut environment, "PATH", path);
        }
        if let Some(home) = &identity.home {
            set(&mut environment, "HOME", home.into());
        }
        if let Some(instance) = &self.instance {
            set(&mut environment, INSTANCE_VARIABLE, instance.as_str().into());
        }
        environment
    }

    fn agent_folder(&self) -> Option<&OsStr> {
        let program = self.task.task_agent_path.split(' ').next()?;
        let folder = Path::new(program).parent()?.as_os_str();
        (!folder.is_empty()).then_some(folder)
    }
}

fn set(environment: &mut Vec<(OsString, OsString)>, name: &str, value: OsString) {
    environment.retain(|(known, _)| known != name);
    environment.push((name.into(), value));
}

/// Writes while the child runs, because a long token does not fit into the pipe. The end of file follows, and
/// the token is zeroed.
async fn write_token(pipe: OwnedFd, token: Secret) {
    let written = match pipe::Sender::from_owned_fd(pipe) {
        Ok(mut pipe) => pipe.write_all(token.expose().as_bytes()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        tracing::warn!(%error, "the task agent did not take the whole token");
    }
}
