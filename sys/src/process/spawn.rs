//! Starting a child.
//!
//! The parent prepares everything, forks, and reads from a pipe what went wrong before the execve, so that
//! "cannot be started" is known, with its reason, when [`spawn`] returns. Between fork and execve the child
//! makes system calls only: another thread may have held any lock at the fork.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::{ForkResult, fork, getpid, pipe2};

use super::{Pid, Signal, pidfd_open};
use crate::secrecy::OomScore;

mod child;

use child::Prepared;

/// Where a standard stream of the child comes from.
#[derive(Debug, Default)]
pub enum Stream {
    /// This process's own.
    #[default]
    Inherit,
    /// This descriptor, which is closed here once the child has it.
    Descriptor(OwnedFd),
}

/// The process group of the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    /// This process's own.
    #[default]
    Inherit,
    /// A new one, with the child's pid.
    New,
    /// A new session, and so a new group: there is no controlling terminal either.
    NewSession,
}

/// A user to run as, without supplementary groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserIds {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What to start, and how. Make one with [`SpawnRequest::new`] and change what differs.
#[derive(Debug)]
pub struct SpawnRequest<'score> {
    /// The command and its arguments. A command without a slash is looked for in the `PATH` of `environment`.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory; none: this process's own. It is entered before the user changes.
    pub folder: Option<PathBuf>,
    /// Standard input.
    pub stdin: Stream,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// The user; none: this process's own, groups included.
    pub user: Option<UserIds>,
    /// The process group.
    pub group: Group,
    /// The signal that the child gets when the thread that called [`spawn`] ends.
    pub parent_death_signal: Option<Signal>,
    /// Start the child with a raised `oom_score_adj`.
    pub oom_score: Option<&'score OomScore>,
    /// How many processes and threads the child's user may have before the child, or anything below it, is
    /// refused another one (`RLIMIT_NPROC`); none: this process's own limit. It cannot be raised again.
    pub process_limit: Option<u64>,
}

impl SpawnRequest<'_> {
    /// A child with an empty environment that inherits everything else and is killed when its parent ends.
    #[must_use]
    pub fn new(argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            folder: None,
            stdin: Stream::Inherit,
            stdout: Stream::Inherit,
            stderr: Stream::Inherit,
            user: None,
            group: Group::Inherit,
            parent_death_signal: Some(Signal::SIGKILL),
            oom_score: None,
            process_limit: None,
        }
    }
}

/// A child that has made its execve.
#[derive(Debug)]
pub struct Spawned {
    /// Its number, and that of its group where it got a new one.
    pub pid: Pid,
    /// A handle to it; none where the kernel or a seccomp profile has none.
    pub pidfd: Option<OwnedFd>,
}

/// The step that failed in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Making the process group or session.
    Group,
    /// Putting the standard streams in place.
    Streams,
    /// Entering the working directory.
    Folder,
    /// Changing the user.
    User,
    /// Limiting its processes.
    Limit,
    /// Asking for the parent-death signal.
    ParentDeath,
    /// The execve.
    Execute,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Group,
        Self::Streams,
        Self::Folder,
        Self::User,
        Self::Limit,
        Self::ParentDeath,
        Self::Execute,
    ];

    fn number(self) -> u8 {
        match self {
            Self::Group => 0,
            Self::Streams => 1,
            Self::Folder => 2,
            Self::User => 3,
            Self::Limit => 4,
            Self::ParentDeath => 5,
            Self::Execute => 6,
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Group => "make a process group",
            Self::Streams => "set up the standard streams",
            Self::Folder => "enter the working directory",
            Self::User => "change the user",
            Self::Limit => "limit the processes",
            Self::ParentDeath => "set the parent-death signal",
            Self::Execute => "execute",
        })
    }
}

/// Why there is no child. Nothing of the command has run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The request cannot be carried out as it stands.
    #[error("{0}")]
    Request(&'static str),
    /// The parent failed.
    #[error("could not fork")]
    Fork(#[source] io::Error),
    /// The child failed before or at its execve.
    #[error("{}: could not {stage}", .program.display())]
    Child {
        /// Where.
        stage: Stage,
        /// The command.
        program: OsString,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Starts a child, and returns once its execve was made.
///
/// The caller collects the child. One that fails before its execve is collected here; a reaper in another
/// thread may see it, as a pid that it does not know. The parent-death signal fires when the calling *thread*
/// ends, so call it from one that lives as long as the process. Descriptors above the standard ones are not
/// handed down, and signals have their default effect and an empty mask in the child.
///
/// # Errors
/// [`SpawnError`]: nothing of the command has run.
pub fn spawn(request: SpawnRequest<'_>) -> Result<Spawned, SpawnError> {
    let program = request.argv.first().cloned().unwrap_or_default();
    let prepared = Prepared::new(&request)?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(fork_error)?;
    let writer = above_standard(writer)?;
    // No handler of ours may run in the child, and no signal may get lost before its mask is set.
    let old_mask = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .map_err(fork_error)?;
    let parent = getpid();
    let forked = {
        let _raised = request.oom_score.map(OomScore::raise);
        // SAFETY: the child calls nothing but `Prepared::execute`, which makes system calls only.
        unsafe { fork() }
    };
    let child = match forked {
        Ok(ForkResult::Child) => prepared.execute(writer.as_raw_fd(), parent.as_raw()),
        Ok(ForkResult::Parent { child }) => Ok(child),
        Err(errno) => Err(fork_error(errno)),
    };
    old_mask.thread_set_mask().map_err(fork_error)?;
    let child = child?;
    drop(writer);
    drop(request);
    let pidfd = pidfd_open(child).ok();
    match report_of(reader) {
        None => Ok(Spawned { pid: child, pidfd }),
        Some((stage, source)) => {
            // Another thread's reaper may have been faster.
            let _ = nix::sys::wait::waitpid(child, None);
            Err(SpawnError::Child {
                stage,
                program,
                source,
            })
        }
    }
}

fn fork_error(errno: Errno) -> SpawnError {
    SpawnError::Fork(errno.into())
}

/// What the child wrote: nothing (the execve closed the pipe), or the stage and the error number. A child that
/// was killed before its execve looks like one that was killed after it.
fn report_of(reader: OwnedFd) -> Option<(Stage, io::Error)> {
    let mut report = [0; 5];
    File::from(reader).read_exact(&mut report).ok()?;
    let [stage, errno @ ..] = report;
    let stage = *Stage::ALL.get(usize::from(stage))?;
    Some((stage, io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
}

/// The same descriptor with a number above those of the standard streams, which dup2 would overwrite.
fn above_standard(descriptor: OwnedFd) -> Result<OwnedFd, SpawnError> {
    use std::os::fd::FromRawFd;
    if descriptor.as_raw_fd() > 2 {
        return Ok(descriptor);
    }
    let raw = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(fork_error)?;
    // SAFETY: the kernel just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn c_string(text: &OsStr) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes())
        .map_err(|_| SpawnError::Request("a word of the command or its environment holds a zero byte"))
}
