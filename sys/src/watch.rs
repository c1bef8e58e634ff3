//! Waiting for a file to appear, by inotify(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Becomes readable when a name appears in a folder.
///
/// To drop it takes the kernel up to 20 ms, in which it waits until nobody uses the watch any more; a moment after
/// [`stop`](Self::stop) it takes none.
#[derive(Debug)]
pub struct FolderWatch {
    inotify: Inotify,
    folder: WatchDescriptor,
}

impl FolderWatch {
    /// Starts to watch. Look for the file after it, because it may have come before.
    ///
    /// # Errors
    /// What `inotify_add_watch` says; the folder has to exist.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let folder = inotify.add_watch(folder, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
        Ok(Self { inotify, folder })
    }

    /// Ends the watch and does not wait for anything.
    pub fn stop(&self) {
        // What fails here is a watch that the kernel has ended: the folder is gone.
        let _ = self.inotify.rm_watch(self.folder);
    }

    /// Forgets what has happened so far. `false` when there was nothing.
    ///
    /// # Errors
    /// What `read` says.
    pub fn drain(&self) -> io::Result<bool> {
        match self.inotify.read_events() {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsRawFd for FolderWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
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

    #[test]
    fn what_comes_after_the_stop_is_not_noticed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let watch = FolderWatch::open(folder.path()).expect("the folder exists");
        watch.stop();
        // The kernel tells of the stop itself.
        watch.drain().expect("it reads");

        std::fs::write(folder.path().join("late"), "").expect("a file can be written");

        assert!(!watch.drain().expect("it reads"));
    }
}
