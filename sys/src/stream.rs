//! Writing to streams whose reader one does not trust to read.

use std::os::fd::AsFd;
use std::time::Duration;

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
}
