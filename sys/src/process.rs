//! Processes: starting, waiting, signalling, adopting.
//!
//! Nothing here knows an async runtime: a program that supervises has one owner of its children, which calls
//! [`wait_any`] whenever SIGCHLD arrived and keeps the one table of pids.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal;

pub use nix::sys::signal::Signal;
pub use nix::unistd::Pid;

pub use pidfd::{pidfd_open, pidfd_send_signal};
pub use signals::{Origin, Received, SignalQueue};
pub use spawn::{Group, SpawnError, SpawnRequest, Spawned, Stage, Stream, UserIds, spawn};
pub use tree::{command_name, descendants};
pub use user::signal_user;

mod pidfd;
mod signals;
mod spawn;
mod tree;
mod user;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled {
        /// The signal's number; not every number has a name.
        signal: i32,
        /// Whether the kernel wrote a core.
        core_dumped: bool,
    },
}

/// What a process and the children that it waited for used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// The largest resident set of any of them, in KiB.
    pub max_rss_kib: u64,
}

/// A child that was collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Which.
    pub pid: Pid,
    /// How it ended.
    pub end: End,
    /// What it used.
    pub usage: Usage,
}

/// The answer of [`wait_any`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// A child had ended, and is collected now.
    Child(Reaped),
    /// There are children, and none has ended.
    NoneEnded,
    /// There is no child at all.
    NoChildren,
}

/// Collects one child that has ended, whichever it is, without waiting.
///
/// SIGCHLD coalesces, so call it until it answers something else than [`Waited::Child`]. It takes the status
/// of *every* child: a program that calls it must not wait for a child in any other way.
///
/// # Errors
/// What `wait4` says, except that there is no child.
pub fn wait_any() -> io::Result<Waited> {
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a value of it: it is made of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4(2) writes.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match Errno::result(pid) {
        Ok(0) => Ok(Waited::NoneEnded),
        Ok(pid) => Ok(Waited::Child(Reaped {
            pid: Pid::from_raw(pid),
            end: end_of(status),
            usage: Usage {
                user: duration_of(usage.ru_utime),
                system: duration_of(usage.ru_stime),
                max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
            },
        })),
        Err(Errno::ECHILD) => Ok(Waited::NoChildren),
        Err(errno) => Err(errno.into()),
    }
}

fn end_of(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signalled {
            signal: libc::WTERMSIG(status),
            core_dumped: libc::WCOREDUMP(status),
        }
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    }
}

fn duration_of(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// This process.
#[must_use]
pub fn own_pid() -> Pid {
    nix::unistd::getpid()
}

/// Whether this process is the init of its PID namespace.
#[must_use]
pub fn is_init() -> bool {
    own_pid() == Pid::from_raw(1)
}

/// Whether this process runs as root in its user namespace.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The user and group that this process runs as.
#[must_use]
pub fn current_user() -> UserIds {
    UserIds {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
    }
}

/// How many processes and threads this process's user may have before it is refused another one
/// (`RLIMIT_NPROC`); none where that is not limited.
#[must_use]
pub fn process_limit() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NPROC).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

/// Lowers that limit for this process and all that it starts. It cannot be raised again.
///
/// Since Linux 5.14 processes are counted by user *and* user namespace, before by user alone.
///
/// # Errors
/// What `setrlimit` says.
pub fn limit_processes(most: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
    let hard = hard.min(most);
    Ok(setrlimit(Resource::RLIMIT_NPROC, soft.min(hard), hard)?)
}

/// Makes orphans below this process its children, as if it were the init of a PID namespace.
///
/// # Errors
/// What `prctl` says.
pub fn set_subreaper() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Asks for a signal when the *thread* that started this process ends.
///
/// A change of user, and an execve of a set-user-ID program, clear it. The parent may have ended before the
/// call: check `getppid` after it.
///
/// # Errors
/// What `prctl` says.
pub fn set_parent_death_signal(signal: Signal) -> io::Result<()> {
    Ok(prctl::set_pdeathsig(signal)?)
}

/// Sends a signal to one process. `false` when there is none of that number.
///
/// Only safe against a recycled number for a child that was not collected yet.
///
/// # Errors
/// What `kill` says, and for numbers that mean more than one process.
pub fn kill_process(pid: Pid, signal: Signal) -> io::Result<bool> {
    if pid.as_raw() <= 0 {
        return Err(Errno::EINVAL.into());
    }
    delivered(signal::kill(pid, signal))
}

/// Sends a signal to a process group. `false` when it has no member.
///
/// # Errors
/// What `kill` says, and for 0 and 1: those would be this process's own group, and everything.
pub fn kill_group(group: Pid, signal: Signal) -> io::Result<bool> {
    if group.as_raw() <= 1 {
        return Err(Errno::EINVAL.into());
    }
    delivered(signal::killpg(group, signal))
}

/// Sends a signal to every other process of this PID namespace. `false` when there is none.
///
/// # Errors
/// What `kill` says, and for a process that is not the init of its namespace: there it would end
/// everything that the user runs.
pub fn kill_all(signal: Signal) -> io::Result<bool> {
    if !is_init() {
        return Err(Errno::EPERM.into());
    }
    delivered(signal::kill(Pid::from_raw(-1), signal))
}

fn delivered(result: nix::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The time since the machine started, suspended time included (`CLOCK_BOOTTIME`). It never jumps.
#[must_use]
pub fn boot_time_now() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec, which is all that clock_gettime(2) writes.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_process_numbers_are_refused() {
        assert!(kill_process(Pid::from_raw(0), Signal::SIGCONT).is_err());
        assert!(kill_process(Pid::from_raw(-1), Signal::SIGCONT).is_err());
        assert!(kill_group(Pid::from_raw(0), Signal::SIGCONT).is_err());
        assert!(kill_group(Pid::from_raw(1), Signal::SIGCONT).is_err());
        assert!(
            kill_all(Signal::SIGCONT).is_err(),
            "a test is not the init of its namespace"
        );
    }

    #[test]
    fn the_boot_clock_agrees_with_proc() {
        let before: f64 = uptime();

        let now = boot_time_now().as_secs_f64();

        assert!(
            now >= before - 0.1 && now <= uptime() + 0.1,
            "{now} against {before}"
        );
    }

    fn uptime() -> f64 {
        let text = std::fs::read_to_string("/proc/uptime").expect("proc is mounted");
        text.split(' ')
            .next()
            .expect("a first word")
            .parse()
            .expect("a number")
    }
}
