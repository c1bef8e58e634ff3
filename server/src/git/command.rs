//! Running git: with our configuration, without prompts, within a deadline, and never left behind.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::login::Login;
use super::{GitError, text, words};
use crate::config::{GitSettings, Repository, inherited};

/// Stands in for the user's gitconfig; the system's stays, for proxies and credential helpers.
///
/// It is a file because git hands no `-c` on to the `upload-pack` that serves a local source. Whose a local
/// source is does not matter, because the operator named it; and `upload-pack` gives any commit by its
/// name, because a task may run one that a forced push has taken off its branch.
const CONFIG: &str = "\
[safe]
\tdirectory = *
[init]
\tdefaultBranch = main
[uploadpack]
\tallowAnySHA1InWant = true
\tallowFilter = true
[transfer]
\thideRefs = refs/goatherd
[gc]
\tautoDetach = false
[core]
\thooksPath = /dev/null
[credential]
\tinteractive = false
[http]
\tlowSpeedLimit = 100
\tlowSpeedTime = 60
\tuploadpack = true
\treceivepack = false
[advice]
\tdetachedHead = false
";

/// Never asks, and notices a peer that is gone.
pub(super) const SSH: &str =
    "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4";

/// How git is run.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    environment: Vec<(&'static str, OsString)>,
    config: PathBuf,
    timeout: Duration,
}

/// What a finished git left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Whether it ended with 0.
    pub(crate) success: bool,
    /// What it wrote.
    pub(crate) stdout: Vec<u8>,
    /// What it said, fit for people.
    pub(crate) words: String,
}

impl Finished {
    /// A failure is one of ours or of the machine's.
    pub(super) fn or_failed(&self) -> Result<(), GitError> {
        if self.success {
            Ok(())
        } else {
            Err(GitError::Failed(self.words.clone()))
        }
    }

    /// A failure is the source's: its words say whether trying again can help.
    pub(super) fn or_classified(&self) -> Result<(), GitError> {
        match self.success {
            true => Ok(()),
            false if words::is_refusal(&self.words) => Err(GitError::Refused(self.words.clone())),
            false => Err(GitError::Failed(self.words.clone())),
        }
    }
}

impl Git {
    /// Writes our configuration beside the mirrors.
    pub(super) fn configure(root: &Path, settings: &GitSettings) -> io::Result<Self> {
        let config = root.join("gitconfig");
        fs::write(&config, CONFIG)?;
        Ok(Self {
            environment: inherited(),
            config,
            timeout: settings.timeout.duration(),
        })
    }

    /// A git that may use one protocol, or none. Dropping its child ends it.
    pub(crate) fn command(&self, protocol: Option<&str>) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_COMMAND", SSH)
            // Empty allows none.
            .env("GIT_ALLOW_PROTOCOL", protocol.unwrap_or_default())
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs git on a mirror. It reaches no other repository.
    pub(crate) async fn run(&self, mirror: Option<&Path>, arguments: &[&str]) -> Result<Finished, GitError> {
        let mut command = self.command(None);
        if let Some(mirror) = mirror {
            command.arg("--git-dir").arg(mirror);
        }
        command.args(arguments);
        self.finish(command).await
    }

    /// Runs git on a mirror with a text on its standard input: less than a pipe holds, so that nobody waits for the
    /// other.
    pub(super) async fn ask(
        &self,
        mirror: &Path,
        arguments: &[&str],
        text: &str,
    ) -> Result<Finished, GitError> {
        let failed = |error: io::Error| GitError::Failed(format!("git could not be asked: {error}"));
        let (reader, mut writer) = io::pipe().map_err(failed)?;
        writer.write_all(text.as_bytes()).map_err(failed)?;
        drop(writer);
        let mut command = self.command(None);
        command.arg("--git-dir").arg(mirror).args(arguments).stdin(reader);
        self.finish(command).await
    }

    /// Fetches refs from a repository's source into a mirror.
    pub(super) async fn fetch(
        &self,
        repository: &Repository,
        mirror: &Path,
        prune: &str,
        refs: &[&str],
    ) -> Result<Finished, GitError> {
        let mut command = self.command(Some(repository.protocol().word()));
        // Held until git has ended.
        let login = match repository.credential() {
            Some(credential) => Login::new(credential, repository.source()).map_err(GitError::Failed)?,
            None => Login::none(),
        };
        login.prepare(&mut command);
        command.arg("--git-dir").arg(text(mirror)?).args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            prune,
            "--",
            repository.source(),
        ]);
        command.args(refs);
        let mut finished = self.finish(command).await?;
        finished.words = login.without_secret(&finished.words);
        Ok(finished)
    }

    async fn finish(&self, mut command: Command) -> Result<Finished, GitError> {
        let child = command
            .spawn()
            .map_err(|error| GitError::Failed(format!("git could not be started: {error}")))?;
        let group = Group::of(&child);
        let output = tokio::time::timeout(self.timeout, child.wait_with_output()).await;
        match output {
            Ok(Ok(output)) => {
                group.ended();
                Ok(Finished {
                    success: output.status.success(),
                    stdout: output.stdout,
                    words: said(&output.stderr, &output.status),
                })
            }
            Ok(Err(error)) => Err(GitError::Failed(format!("git could not be waited for: {error}"))),
            Err(_) => Err(GitError::Failed(format!(
                "git took longer than {} s",
                self.timeout.as_secs()
            ))),
        }
    }
}

fn said(stderr: &[u8], status: &std::process::ExitStatus) -> String {
    let words = words::clean(stderr);
    if words.is_empty() {
        format!("git ended with {status}")
    } else {
        words
    }
}

/// A process group that is killed when it is dropped before it has ended: git's helpers outlive git.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group of a child that was started as the leader of one.
    pub(crate) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }

    /// The leader was waited for: its number may belong to another now.
    pub(crate) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody is left to tell, and a group that is gone is what is wanted.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}
