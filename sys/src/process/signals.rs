//! Signals as a queue that one reads, with who sent them.
//!
//! The signals are blocked and read from a signalfd(2). The kernel never drops a blocked signal, not even one
//! for the init of a PID namespace that has no handler for it, and no handler runs in the middle of anything.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{Pid, Signal};

/// Where a signal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The kernel itself: a child ended, a timer fired, a terminal was resized.
    Kernel,
    /// A process that this PID namespace cannot see.
    Outside,
    /// A process that named itself, as rt_sigqueueinfo(2) lets it, so that nothing it said counts.
    Unnamed,
    /// A process of this PID namespace.
    Process {
        /// Its number; it may have ended since.
        pid: Pid,
        /// The user that it ran as.
        uid: u32,
    },
}

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// From where. Repeats of a signal that was not read yet are one, with the first origin.
    pub origin: Origin,
}

/// The signals of this process that someone reads, instead of their usual effect.
///
/// As a descriptor it is readable when there is one.
#[derive(Debug)]
pub struct SignalQueue(SignalFd);

impl SignalQueue {
    /// Blocks the signals for this thread, and for those that it starts later, and queues them from now on.
    ///
    /// Call it before the first other thread is started: a thread that does not block a signal takes it.
    /// [`spawn`](super::spawn) gives children an empty mask again.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn open(signals: &[Signal]) -> io::Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(
            &set,
            SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
        )?))
    }

    /// Takes the next signal, if one is there.
    ///
    /// # Errors
    /// What `read` says.
    pub fn take(&self) -> io::Result<Option<Received>> {
        let Some(info) = self.0.read_signal()? else {
            return Ok(None);
        };
        let number = i32::try_from(info.ssi_signo).map_err(io::Error::other)?;
        let signal = Signal::try_from(number)?;
        Ok(Some(Received {
            signal,
            origin: origin_of(&info),
        }))
    }
}

/// A code of at most 0 says that a process sent it (sigaction(2)). The kernel has filled in its pid only where it was
/// sent by kill(2) or tgkill(2); that is 0 where the process has none in our namespace.
fn origin_of(info: &nix::sys::signalfd::siginfo) -> Origin {
    match info.ssi_code {
        1.. => return Origin::Kernel,
        libc::SI_USER | libc::SI_TKILL => {}
        _ => return Origin::Unnamed,
    }
    match i32::try_from(info.ssi_pid) {
        Ok(pid) if pid > 0 => Origin::Process {
            pid: Pid::from_raw(pid),
            uid: info.ssi_uid,
        },
        _ => Origin::Outside,
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SignalQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_queued_with_its_sender_and_then_gone() {
        let queue = SignalQueue::open(&[Signal::SIGUSR2]).expect("a queue opens");

        // To this thread, because other threads of the test program do not block it.
        nix::sys::signal::raise(Signal::SIGUSR2).expect("sent");

        let received = queue.take().expect("it reads").expect("one is there");
        assert_eq!(received.signal, Signal::SIGUSR2);
        let Origin::Process { pid, .. } = received.origin else {
            panic!("{received:?}")
        };
        assert_eq!(pid, nix::unistd::getpid());
        assert_eq!(queue.take().expect("it reads"), None);
    }

    #[test]
    fn who_names_himself_is_not_believed() {
        let queue = SignalQueue::open(&[Signal::SIGUSR2]).expect("a queue opens");
        // SAFETY: all fields of this are numbers or a union of them.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // The pid is 0, as that of a process outside.
        info.si_code = libc::SI_QUEUE;
        let (process, thread) = (nix::unistd::getpid(), nix::unistd::gettid());

        // SAFETY: the kernel reads one `siginfo_t`, which is alive.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_rt_tgsigqueueinfo,
                process.as_raw(),
                thread.as_raw(),
                libc::SIGUSR2,
                &raw const info,
            )
        };

        assert_eq!(sent, 0, "{}", io::Error::last_os_error());
        let received = queue.take().expect("it reads").expect("one is there");
        assert_eq!(received.origin, Origin::Unnamed);
    }
}
