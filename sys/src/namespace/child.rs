//! A child that is a copy of this process, in namespaces of its own or without.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::checked;
use crate::process::End;

/// A child process.
#[derive(Debug)]
pub struct Child {
    /// Its process id, as its parent sees it.
    pub pid: i32,
    /// Its pidfd, which names it even after the id was used again.
    pub pidfd: OwnedFd,
}

/// What a child exits with that panicked.
const PANICKED: i32 = 70;

/// Starts a child in a user, PID, mount, IPC and UTS namespace of its own; it runs `child` and exits with
/// what that returns. It is the new PID namespace's first process, and a user that is not mapped yet.
///
/// The child is a copy of this process, and shares its open files. Only the child runs `child`.
///
/// # Errors
/// When this process has more than one thread (a copy would inherit their locks), or when the system
/// refuses: EPERM where namespaces are not allowed, ENOSPC where their number is limited.
pub fn spawn_in_new_namespaces(child: impl FnOnce() -> i32) -> io::Result<Child> {
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    spawn(namespaces, child)
}

/// The same in the namespaces of this process, as its user.
///
/// # Errors
/// When this process has more than one thread, or when the system refuses.
pub fn spawn_copy(child: impl FnOnce() -> i32) -> io::Result<Child> {
    spawn(0, child)
}

fn spawn(namespaces: libc::c_int, child: impl FnOnce() -> i32) -> io::Result<Child> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("this process has more than one thread"));
    }
    let flags = namespaces | libc::CLONE_PIDFD | libc::SIGCHLD;
    let none: libc::c_long = 0;
    let mut pidfd: libc::c_int = -1;
    // SAFETY: with a null stack and without CLONE_VM, clone is fork: the child goes on with a copy of this
    // stack. The process is single-threaded, so the copy is in no other thread's critical section. The
    // kernel writes one int to the third argument, which lives until the call is over.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            none,
            &raw mut pidfd,
            none,
            none,
        )
    };
    if checked(returned)? == 0 {
        // A panic must not unwind into the frames that the child shares with its parent.
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
        // SAFETY: `_exit` has no precondition. It runs no handler and flushes no buffer of the parent's.
        unsafe { libc::_exit(code) }
    }
    let pid = i32::try_from(returned).expect("a process id fits an i32");
    // SAFETY: CLONE_PIDFD made this descriptor in this process just now, and nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// Whether an ended child is also taken off the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collect {
    /// It stays a zombie, and its process id stays taken.
    Leave,
    /// It is gone, and its process id is free.
    Reap,
}

/// Whether the process has ended. For the first process of a PID namespace that means that no process of
/// the namespace is left: the kernel ends them before it tells (`pid_namespaces(7)`).
///
/// # Errors
/// When the system refuses.
pub fn has_ended(process: BorrowedFd<'_>) -> io::Result<bool> {
    let mut watched = [PollFd::new(process, PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::ZERO)?;
    Ok(watched[0].any().unwrap_or(false))
}

/// Waits until a child has ended.
///
/// # Errors
/// When it is no child of this process, or was collected already.
pub fn wait(child: BorrowedFd<'_>, collect: Collect) -> io::Result<End> {
    let options = match collect {
        Collect::Leave => libc::WEXITED | libc::WNOWAIT,
        Collect::Reap => libc::WEXITED,
    };
    let id = libc::id_t::try_from(child.as_raw_fd()).expect("a descriptor is not negative");
    let mut information = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: the kernel writes one siginfo to the pointer, which lives until the call is over.
        let returned = unsafe { libc::waitid(libc::P_PIDFD, id, information.as_mut_ptr(), options) };
        match checked(libc::c_long::from(returned)) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // SAFETY: zeroed memory is a valid siginfo, and the successful call filled it in.
    let information = unsafe { information.assume_init() };
    // SAFETY: for a child's end (`si_code` is one of CLD_*) the status field is the one in use.
    let status = unsafe { information.si_status() };
    Ok(if information.si_code == libc::CLD_EXITED {
        End::Exited(status)
    } else {
        End::Signalled {
            signal: status,
            core_dumped: information.si_code == libc::CLD_DUMPED,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Command;

    use super::*;
    use crate::process::{Pid, Signal, pidfd_open, pidfd_send_signal};

    fn opened(child: &std::process::Child) -> OwnedFd {
        pidfd_open(Pid::from_raw(i32::try_from(child.id()).unwrap())).unwrap()
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "it is collected by its pidfd")]
    fn a_signalled_child_stays_on_the_table_until_it_is_reaped() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pidfd = opened(&child);
        assert!(!has_ended(pidfd.as_fd()).unwrap());
        let killed = End::Signalled {
            signal: libc::SIGKILL,
            core_dumped: false,
        };

        pidfd_send_signal(pidfd.as_fd(), Signal::SIGKILL).unwrap();

        assert_eq!(wait(pidfd.as_fd(), Collect::Leave).unwrap(), killed);
        assert!(has_ended(pidfd.as_fd()).unwrap());
        drop(opened(&child));
        assert_eq!(wait(pidfd.as_fd(), Collect::Reap).unwrap(), killed);
        assert!(wait(pidfd.as_fd(), Collect::Reap).is_err());
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "it is collected by its pidfd")]
    fn an_exit_code_is_told() {
        let child = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();

        assert_eq!(
            wait(opened(&child).as_fd(), Collect::Reap).unwrap(),
            End::Exited(7)
        );
    }

    #[test]
    fn a_process_with_threads_is_refused() {
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || left.recv());

        let spawned = spawn_in_new_namespaces(|| 0);

        assert!(spawned.is_err());
        drop(leave);
        assert!(other.join().unwrap().is_err());
    }
}
