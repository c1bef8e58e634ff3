//! A small file whose place others may have prepared: it never makes its writer wait, and has its space early.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

/// Opens a file for writing without waiting: a pipe without a reader fails at once (`ENXIO`). What is in the file
/// stays. A symbolic link in its place is refused (`ELOOP`): others may have put it there, to have a file written that
/// they cannot write themselves.
///
/// # Errors
/// What `open` says; `NotFound` where there is none and none is to be made.
pub fn open_for_writing(path: &Path, missing: Missing) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(matches!(missing, Missing::Create))
        .truncate(false)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
        .open(path)
}

/// Opens a file for reading without waiting. A symbolic link in its place is refused (`ELOOP`), and so is what is no
/// file: a pipe without a writer would be waited for.
///
/// # Errors
/// What `open` says; `InvalidInput` for what is no file.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))
    }
}

/// What to do where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Make it.
    Create,
    /// Fail.
    Refuse,
}

/// Takes space for the first `bytes` of a file, whose length stays as it is. They can then be written on a full
/// disk.
///
/// # Errors
/// What `fallocate` says; not every file system can.
pub fn reserve(file: &File, bytes: u16) -> io::Result<()> {
    Ok(fallocate(
        file,
        FallocateFlags::FALLOC_FL_KEEP_SIZE,
        0,
        bytes.into(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("it is made");

        assert!(open_for_writing(&path, Missing::Refuse).is_err());
    }

    #[test]
    fn only_a_file_itself_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, link, pipe) = (
            folder.path().join("file"),
            folder.path().join("link"),
            folder.path().join("pipe"),
        );
        std::fs::write(&file, "text").expect("it is written");
        std::os::unix::fs::symlink(&file, &link).expect("it is made");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("it is made");

        assert!(open_for_reading(&file).is_ok());
        for other in [&link, &pipe, &folder.path().to_owned()] {
            assert!(open_for_reading(other).is_err(), "{}", other.display());
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).expect("it is made");

        assert!(open_for_writing(&link, Missing::Create).is_err());
        assert!(!target.exists());
    }

    #[test]
    fn reserving_makes_a_file_no_longer() {
        use std::os::unix::fs::MetadataExt as _;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = open_for_writing(&folder.path().join("file"), Missing::Create).expect("it is made");

        reserve(&file, 4096).expect("file systems that tests run on can do it");

        let metadata = file.metadata().expect("it is there");
        assert_eq!(metadata.len(), 0);
        assert!(metadata.blocks() > 0);
    }
}
