//! Waiting for a file to appear, by inotify(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Becomes readable when a name appears in a folder.
#[derive(Debug)]
pub struct FolderWatch(Inotify);

impl FolderWatch {
    /// Starts to watch. Look for the file after it, because it may have come before.
    ///
    /// # Errors
    /// What `inotify_add_watch` says; the folder has to exist.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(folder, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
        Ok(Self(inotify))
    }

    /// Forgets what has happened so far. `false` when there was nothing.
    ///
    /// # Errors
    /// What `read` says.
    pub fn drain(&self) -> io::Result<bool> {
        match self.0.read_events() {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for FolderWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_renamed_into_the_folder_is_noticed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let watch = FolderWatch::open(folder.path()).expect("the folder exists");
        assert!(!watch.drain().expect("it reads"));
        let elsewhere = tempfile::NamedTempFile::new_in(std::env::temp_dir()).expect("a file");

        std::fs::rename(elsewhere.path(), folder.path().join("ready")).expect("same file system");

        assert!(watch.drain().expect("it reads"));
    }
}
