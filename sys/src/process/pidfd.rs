//! Handles to processes that a recycled number cannot fool.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::{Pid, Signal};

/// Opens a handle to a process. It becomes readable when the process ends.
///
/// # Errors
/// `ESRCH` when there is no such process; `ENOSYS` or `EPERM` where the kernel or a seccomp profile has none.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two integers and touches no memory of ours.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal through a handle. `false` when the process has ended.
///
/// # Errors
/// What `pidfd_send_signal` says.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<bool> {
    let number: i32 = signal_number(signal);
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open for the length of the borrow, and a null siginfo is allowed.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, no_info, 0) };
    match Errno::result(sent) {
        Ok(_) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[expect(
    clippy::as_conversions,
    reason = "the only way from a C-like enum to its number"
)]
pub(super) fn signal_number(signal: Signal) -> i32 {
    signal as i32
}
