//! Signalling all that one user runs, at once.

use std::io;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};

use super::pidfd::signal_number;
use super::{Pid, Signal};

const SENT: i32 = 0;
const REFUSED: i32 = 1;

/// Sends a signal to every process of a user, if there is any. None that starts meanwhile is missed: the kernel
/// goes through them all under one lock.
///
/// # Errors
/// For root and for this process's own user; when this process may not become the user; what `kill` says.
pub fn signal_user(uid: u32, signal: Signal) -> io::Result<()> {
    if uid == 0 || nix::unistd::geteuid().as_raw() == uid || nix::unistd::getuid().as_raw() == uid {
        return Err(Errno::EINVAL.into());
    }
    let number = signal_number(signal);
    // SAFETY: the child only makes system calls, all of them async-signal-safe, until it ends with `_exit`.
    let child = Errno::result(unsafe { libc::fork() })?;
    if child == 0 {
        // As the user itself, kill(-1) reaches that user's processes and nobody else's, and not this one
        // (`kill(2)`). The system call and not the function, which would look for other threads.
        // SAFETY: integers.
        let became = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
        let sent = if became == 0 {
            // SAFETY: integers.
            unsafe { libc::kill(-1, number) }
        } else {
            -1
        };
        // ESRCH: nobody else is on the machine. Where only the user has nobody, it is no error.
        let is_sent = sent == 0 || (became == 0 && Errno::last() == Errno::ESRCH);
        // SAFETY: no precondition. It runs no handler and flushes no buffer of the parent's.
        unsafe { libc::_exit(if is_sent { SENT } else { REFUSED }) }
    }
    loop {
        match waitpid(Pid::from_raw(child), None) {
            Ok(WaitStatus::Exited(_, SENT)) => return Ok(()),
            Ok(_) => {
                let message = format!("the processes of user {uid} cannot be signalled");
                return Err(io::Error::other(message));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    use super::*;

    #[test]
    fn all_of_a_user_are_signalled_and_nobody_else() {
        if !nix::unistd::geteuid().is_root() {
            assert!(signal_user(nix::unistd::geteuid().as_raw(), Signal::SIGCONT).is_err());
            return;
        }
        let uid = 1_800_000_000 + std::process::id() % 100_000 * 2;
        let sleeping = |uid: u32| {
            let mut command = Command::new("sleep");
            command.arg("600").current_dir("/").uid(uid).spawn().unwrap()
        };
        let (mut one, mut two, mut other) = (sleeping(uid), sleeping(uid), sleeping(uid + 1));

        signal_user(uid, Signal::SIGKILL).unwrap();

        assert_eq!(one.wait().unwrap().signal(), Some(9));
        assert_eq!(two.wait().unwrap().signal(), Some(9));
        signal_user(uid, Signal::SIGKILL).unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn root_and_oneself_are_refused() {
        assert!(signal_user(0, Signal::SIGCONT).is_err());
    }
}
