//! The task agent's private folder: scripts, sockets and the spool's files. Nobody but this user can enter it,
//! and it goes when the task ends.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A folder that is removed by [`remove`](Self::remove).
#[derive(Debug)]
pub(crate) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one below the first of these that can be written.
    pub(crate) fn make(places: &[&Path]) -> io::Result<Self> {
        let mut last = io::Error::other("there is no place for a private folder");
        for place in places {
            match make_below(place) {
                Ok(path) => return Ok(Self(path)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the private folder stays");
        }
    }
}

fn make_below(place: &Path) -> io::Result<PathBuf> {
    let (pid, now) = (std::process::id(), sys::process::boot_time_now().as_nanos());
    for number in 0..100 {
        let path = place.join(format!("goatherd-task-{pid}-{}", now + number));
        // It must be new: what is there already may be someone's trap.
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_private_and_goes_with_its_content() {
        let place = tempfile::tempdir().expect("a folder");

        let folder = PrivateFolder::make(&[Path::new("/nowhere"), place.path()]).expect("made");

        let mode = folder.path().metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(folder.path().join("x"), "y").expect("written");
        folder.remove();
        assert!(!folder.path().exists());
    }
}
