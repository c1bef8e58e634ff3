//! The lock that says whether somebody makes, supervises or removes a place.
//!
//! An open file description lock (`fcntl(2)`): it belongs to the open file, so a driver that makes a place
//! hands it to the sandbox that it starts without a gap, and the kernel releases it when the last holder is
//! gone, however it ended.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// A lock that this process holds until it is dropped, or longer where another process inherited it.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock at `path`, making the file where it is missing. None where somebody else holds it.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
                Ok(_) if is_at(&file, path)? => return Ok(Some(Self(file))),
                // It was removed between open and lock: the lock is on a file that has no name any more.
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Takes the lock at `path`, waiting for whoever holds it. For locks that are held for moments only, on
    /// a file that is never removed.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLKW(&whole_file(libc::F_WRLCK))) {
                Ok(_) => return Ok(Self(file)),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Whether somebody holds the lock at `path`. It never holds it itself, not even for a moment.
    pub(super) fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut lock = whole_file(libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }

    /// The lock as a descriptor, to be inherited.
    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.0.into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok(there.ino() == ours.ino() && there.dev() == ours.dev()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn whole_file(kind: i32) -> libc::flock {
    let short = |number: i32| i16::try_from(number).expect("the kernel's lock constants fit a short");
    libc::flock {
        l_type: short(kind),
        l_whence: short(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_not_taken_and_a_dropped_one_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());

        let lock = Lock::try_take(&path).unwrap().unwrap();

        assert!(Lock::is_held(&path).unwrap());
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(lock);
        assert!(!Lock::is_held(&path).unwrap());
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn a_copy_of_the_descriptor_holds_it_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::try_take(&path).unwrap().unwrap().into_descriptor();
        let copy = lock.try_clone().unwrap();

        drop(lock);

        assert!(Lock::is_held(&path).unwrap());
        drop(copy);
        assert!(!Lock::is_held(&path).unwrap());
    }
}
