//! Writing to streams whose reader one does not trust to read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
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

/// Opens a file that may turn out to be a pipe with a name, or a device, and never waits for the other side; nor do
/// writes to it (`O_NONBLOCK`). To a file that is one it makes no difference.
///
/// # Errors
/// The system's: where a pipe has no reader, `ENXIO`.
pub fn open_without_waiting(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::errno::Errno;

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
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("it is made");
        let open = || open_without_waiting(OpenOptions::new().write(true), &path);

        let unread = open().expect_err("nobody reads");
        let _reader = open_without_waiting(OpenOptions::new().read(true), &path).expect("it is ours");
        let written = (0..1000).find_map(|_| open().and_then(|mut pipe| pipe.write_all(&[0; 4096])).err());

        assert_eq!(unread.raw_os_error().map(Errno::from_raw), Some(Errno::ENXIO));
        assert_eq!(written.expect("it is full").kind(), io::ErrorKind::WouldBlock);
    }
}
