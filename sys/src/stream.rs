//! Writing to streams whose reader one does not trust to read.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether a stream takes a write of 4096 bytes (`PIPE_BUF`) without blocking, or fails at once; waits this long
/// for it, to the millisecond.
///
/// True of files, terminals, and of pipes that nobody else writes to meanwhile.
#[must_use]
pub fn wait_writable(stream: &impl AsFd, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    let mut interest = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    // An error of the poll itself (a signal) is left to the write.
    poll(&mut interest, timeout).map_or(true, |ready| ready > 0)
}

/// Writes at most what a pipe takes without blocking; `WouldBlock` when that is nothing. `wait_writable` alone does
/// not keep a write from blocking where others write to the same pipe.
///
/// Anything else than a pipe is written to as usual, and so is a pipe where the kernel does not say: before 6.4, and
/// for a named pipe (`mkfifo`).
///
/// # Errors
/// What `write` says.
pub fn write_without_waiting(stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let stream = stream.as_fd();
    let kind = nix::sys::stat::fstat(stream)?.st_mode & libc::S_IFMT;
    if kind == libc::S_IFIFO {
        let part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // A position of -1 is the stream's own; see pwritev2(2).
        // SAFETY: the descriptor is open for the length of the borrow; the kernel reads one part, which is alive and
        // this long, and writes nothing.
        let written = unsafe {
            libc::syscall(
                libc::SYS_pwritev2,
                stream.as_raw_fd(),
                &raw const part,
                1,
                -1_i64,
                0,
                libc::RWF_NOWAIT,
            )
        };
        match Errno::result(written) {
            Ok(written) => return usize::try_from(written).map_err(io::Error::other),
            // The kernel, or a seccomp profile, does not know it.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(nix::unistd::write(stream, bytes)?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_pipe_takes_nothing_and_a_broken_one_fails_at_once() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let mut writer = File::from(writer);
        while wait_writable(&writer, Duration::ZERO) {
            writer.write_all(&[0; 4096]).expect("it takes it");
        }

        assert!(!wait_writable(&writer, Duration::from_millis(10)));
        drop(reader);
        assert!(wait_writable(&writer, Duration::ZERO));
        assert!(writer.write(&[0]).is_err());
    }

    #[test]
    fn a_full_pipe_is_not_waited_for() {
        let (_reader, writer) = nix::unistd::pipe().expect("a pipe");
        let part = [0; 4096];

        let mut taken = 0;
        let end = loop {
            match write_without_waiting(&writer, &part) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };

        assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
        assert!(taken >= 4096, "{taken}");
    }
}
