//! What there is at a path of a working tree, and whether it can be taken.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// An untracked file that is larger is left out, and named. It is what the largest providers refuse, too.
pub(super) const LARGEST: u64 = 100 * 1024 * 1024;

/// What there is at a path. Links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing, or nothing that can be looked at.
    Absent,
    /// A file of this many bytes.
    File(u64),
    Link,
    Folder,
    /// What git knows no way to keep, in words.
    Odd(&'static str),
}

/// Looks at a path, and opens nothing: whoever opens a named pipe waits for another to do so.
pub(super) fn of(path: &Path) -> Entry {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Entry::Absent;
    };
    let kind = found.file_type();
    if kind.is_file() {
        Entry::File(found.len())
    } else if kind.is_symlink() {
        Entry::Link
    } else if kind.is_dir() {
        Entry::Folder
    } else if kind.is_fifo() {
        Entry::Odd("a named pipe")
    } else if kind.is_socket() {
        Entry::Odd("a socket")
    } else {
        Entry::Odd("a device")
    }
}

/// How long a file is that can be taken, and why it cannot.
pub(super) fn length(top: &Path, path: &OsStr) -> Result<u64, String> {
    let path = top.join(path);
    match of(&path) {
        Entry::File(length) if length > LARGEST => Err(format!("it has {}", size(length))),
        Entry::File(length) => File::open(&path)
            .map(|_| length)
            .map_err(|error| format!("it cannot be read ({error})")),
        // git knows what to do with a link, and with what is gone again.
        _ => Ok(0),
    }
}

/// Whether there is something that git can keep, or that cannot be looked at.
pub(super) fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(found) => found.is_file() || found.is_symlink(),
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}

/// Whether all that a path leads through are folders, and none a link to one: git keeps nothing behind a link.
pub(super) fn is_below_folders(top: &Path, path: &OsStr) -> bool {
    let folders = Path::new(path).ancestors().skip(1);
    folders
        .filter(|folder| !folder.as_os_str().is_empty())
        .all(|folder| of(&top.join(folder)) == Entry::Folder)
}

/// `3.1 GiB`.
pub(super) fn size(bytes: u64) -> String {
    let mib = bytes.div_ceil(1024 * 1024);
    if mib < 1024 {
        format!("{mib} MiB")
    } else {
        format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024)
    }
}
