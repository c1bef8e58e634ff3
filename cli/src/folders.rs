//! The folders of a run: a temporary one for it alone, and what killed runs left of theirs.
//!
//! A run holds a lock on its temporary folder from its first moment on (`flock(2)`, on the folder itself), which the
//! kernel releases however the run ends. Whoever gets the lock knows that nobody is left, and removes what is there
//! while it holds it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::fcntl::OFlag;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::installed::PLACES;
use crate::output;

/// What the names of all temporary folders of runs begin with.
const PREFIX: &str = "goatherd-run-";
/// How long the temporary folder may still be written to at the end.
const LETTING_GO: Duration = Duration::from_secs(5);
/// The pause before it is looked at again.
const MOMENT: Duration = Duration::from_millis(20);
/// How long the places of a killed run may take to end: its jobs get no grace.
const DYING: Duration = Duration::from_secs(5);
/// How long a run that has ended waits for the removal of what others left. What is left then is the next one's.
const SWEEPING: Duration = Duration::from_secs(10);
/// How often a folder is made anew that somebody took for one of a killed run. That takes them a moment, and so it
/// does not happen twice by chance.
const TRIES: usize = 5;

/// Where a run's files are.
#[derive(Debug)]
pub(crate) struct Folders {
    /// For this run alone. Others can go through it to the places of their jobs, and read nothing in it.
    temporary: tempfile::TempDir,
    /// Says that this run lives; none where the file system has no locks, and so nobody gets one.
    _held: Option<File>,
    given: Option<PathBuf>,
}

impl Folders {
    /// Makes the temporary folder and takes it; `given` is where all but the snapshot is to be instead.
    pub(crate) fn make(given: Option<&Path>) -> anyhow::Result<Self> {
        let given = given
            .map(std::path::absolute)
            .transpose()
            .context("cannot tell where --data is")?;
        let (temporary, held) = made().context("cannot make a temporary folder")?;
        let path = temporary.path();
        let opened = fs::set_permissions(path, Permissions::from_mode(0o711))
            .and_then(|()| make_folder(&path.join("snapshot"), 0o700))
            .and_then(|()| make_folder(&path.join("data"), 0o711));
        opened.context("cannot make a temporary folder")?;
        Ok(Self {
            temporary,
            _held: held,
            given,
        })
    }

    /// For the snapshot.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.temporary.path().join("snapshot")
    }

    /// For server, agents and places. It is made by them.
    pub(crate) fn data(&self) -> PathBuf {
        self.given
            .clone()
            .unwrap_or_else(|| self.temporary.path().join("data"))
    }

    /// What was broken off at the end may still be at a file, on a thread or in a process of its own: it has a
    /// moment to let go.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        let folder = self.temporary.keep();
        let until = Instant::now() + LETTING_GO;
        loop {
            match tokio::fs::remove_dir_all(&folder).await {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < until => {
                    tokio::time::sleep(MOMENT).await;
                }
                removed => {
                    return removed.with_context(|| format!("cannot remove {}", folder.display()));
                }
            }
        }
    }
}

/// A new folder, with its lock. Between the two somebody may sweep it, and then it is made anew.
fn made() -> io::Result<(tempfile::TempDir, Option<File>)> {
    for _ in 0..TRIES {
        let temporary = tempfile::TempDir::with_prefix(PREFIX)?;
        match take(temporary.path()) {
            Ok(Some(lock)) => return Ok((temporary, Some(lock))),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Ok((temporary, None)),
        }
    }
    Err(io::Error::other("others take it for one that nobody uses"))
}

/// Takes the lock of a folder. None where somebody has it, or the folder is another by now.
fn take(path: &Path) -> io::Result<Option<File>> {
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(path)?;
    match folder.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let (ours, there) = (folder.metadata()?, fs::symlink_metadata(path)?);
    let same = ours.ino() == there.ino() && ours.dev() == there.dev();
    Ok(same.then_some(folder))
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(mode).create(path)
}

/// The removal of what killed runs left, under way beside a run.
#[derive(Debug)]
pub(crate) struct Sweep(oneshot::Receiver<()>);

/// Removes what killed runs of this user left in the temporary folder, on a thread of its own: no job waits for it.
/// What cannot be removed is told.
pub(crate) fn sweep() -> Sweep {
    let (done, ended) = oneshot::channel();
    let sweep = move || {
        let user = nix::unistd::geteuid().as_raw();
        for (folder, error) in sweep_in(&std::env::temp_dir(), user) {
            let folder = folder.display();
            output::complain(&format!(
                "note: what a killed run left in {folder} cannot be removed: {error}"
            ));
        }
        // Whoever waited for it may have gone.
        let _ = done.send(());
    };
    // Without a thread it is the next one's.
    let _ = std::thread::Builder::new().name("sweep".to_owned()).spawn(sweep);
    Sweep(ended)
}

impl Sweep {
    /// Waits until all is removed, or takes too long, or `hurry` is set.
    pub(crate) async fn finish(self, hurry: &CancellationToken) {
        tokio::select! {
            _ = self.0 => {}
            () = hurry.cancelled() => {}
            () = tokio::time::sleep(SWEEPING) => {}
        }
    }
}

/// Removes the folders in `parent` that runs of this user made and nobody holds. Returns those that cannot be
/// removed, with why.
fn sweep_in(parent: &Path, user: u32) -> Vec<(PathBuf, io::Error)> {
    let mut failed = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        if !is_of_a_run(&entry.file_name())
            || fs::symlink_metadata(&path).map_or(true, |own| own.uid() != user)
        {
            continue;
        }
        // No folder, no lock, or one that somebody holds: it is not ours to remove.
        let Ok(Some(held)) = take(&path) else { continue };
        // What is under the name of a folder may have changed before it was taken.
        if held.metadata().map_or(true, |own| own.uid() != user) {
            continue;
        }
        if let Err(error) = remove(&path) {
            failed.push((path, error));
        }
    }
    failed
}

fn is_of_a_run(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Removes a folder that this process holds; first what may still run in the places in it.
fn remove(folder: &Path) -> io::Result<()> {
    driver::local::sweep(&folder.join("data").join(PLACES), DYING)?;
    fs::remove_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn what_somebody_holds_stays_and_what_nobody_holds_goes() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        for name in ["goatherd-run-held", "goatherd-run-left", "goatherd-other"] {
            fs::create_dir_all(at(name).join("data/places/x")).unwrap();
        }
        std::os::unix::fs::symlink(at("goatherd-other"), at("goatherd-run-link")).unwrap();
        let held = take(&at("goatherd-run-held")).unwrap().unwrap();

        assert!(sweep_in(parent.path(), user()).is_empty());

        assert!(at("goatherd-run-held/data").exists());
        assert!(at("goatherd-other/data").exists());
        assert!(!at("goatherd-run-left").exists());
        drop(held);
        assert!(sweep_in(parent.path(), user()).is_empty());
        assert!(!at("goatherd-run-held").exists());
    }

    #[test]
    fn what_is_another_users_stays() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("goatherd-run-left");
        fs::create_dir(&folder).unwrap();

        assert!(sweep_in(parent.path(), user() + 1).is_empty());

        assert!(folder.exists());
    }

    #[test]
    fn a_new_folder_is_held_from_the_first_moment_on() {
        let (temporary, held) = made().unwrap();

        assert!(held.is_some());
        assert!(take(temporary.path()).unwrap().is_none());
    }
}
