//! A process as written in a place's state: its id alone could name another one by the time it is read.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::libc;
use serde::{Deserialize, Serialize};
use sys::namespace::child::has_ended;
use sys::process::{Pid, pidfd_open};

/// A process by its id and the moment it started, in clock ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pid: i32,
    started: u64,
}

impl Process {
    /// Names the process that has this id now.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        let started = start_time(pid)?;
        Ok(Self { pid, started })
    }

    /// Opens it, as a zombie too. None where it is gone.
    pub(super) fn open(self) -> io::Result<Option<OwnedFd>> {
        let pidfd = match pidfd_open(Pid::from_raw(self.pid)) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            // The id is now that of a thread.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Read after the pidfd was opened: as long as that process lives, the id is its own.
        match start_time(self.pid) {
            Ok(started) => Ok((started == self.started).then_some(pidfd)),
            Err(_) if has_ended(pidfd.as_fd())? => Ok(None),
            // A `/proc` that hides it.
            Err(_) => Ok(Some(pidfd)),
        }
    }
}

/// Field 22 of `proc_pid_stat(5)`. The name before it is in parentheses and may hold anything.
fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not as expected")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_and_another_of_the_same_id_is_not() {
        let ours = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(ours.open().unwrap().is_some());

        let earlier = Process {
            started: ours.started - 1,
            ..ours
        };

        assert!(earlier.open().unwrap().is_none());
        assert!(
            Process {
                pid: i32::MAX,
                ..ours
            }
            .open()
            .unwrap()
            .is_none()
        );
    }
}
