//! Puts Goatherd's binaries into the folder that a task's place shares.
//!
//! It may be repeated, also by two processes at a time and over binaries that run: every file is written under
//! a temporary name and then renamed, so a name is complete or absent, whatever is killed and whenever the disk
//! fills up. It does not decide where the binaries come from.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The binaries, by name.
pub const BINARIES: [&str; 2] = ["orchestrator", "circleci-agent"];
/// The name under which a task's own commands know the task agent.
pub const LINK: &str = "circleci";
/// The binary that [`LINK`] means.
pub const LINKED: &str = "circleci-agent";

/// What could not be done, and to which path.
#[derive(Debug, thiserror::Error)]
#[error("could not {act} {path}")]
pub struct InitError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Copies `orchestrator` and `circleci-agent` from `source` into the folder `destination`, contents and
/// permission bits alike, and makes the symbolic link `circleci`.
///
/// # Errors
/// [`InitError`]. A file of `destination` is then as it was before or complete.
pub fn install(source: &Path, destination: &Path) -> Result<(), InitError> {
    install_as(source, destination, destination)
}

/// As [`install`], for a folder that the task sees as `seen_as`: the link points there.
///
/// # Errors
/// As [`install`].
pub fn install_as(source: &Path, destination: &Path, seen_as: &Path) -> Result<(), InitError> {
    for name in BINARIES {
        remove_leftovers(destination, name);
        copy(&source.join(name), destination, name)?;
    }
    link(&seen_as.join(LINKED), destination)
}

fn copy(from: &Path, folder: &Path, name: &str) -> Result<(), InitError> {
    let target = folder.join(name);
    let mut source = File::open(from).map_err(failed("open", from))?;
    let permissions = source.metadata().map_err(failed("examine", from))?.permissions();
    let (temporary, mut file) = create(folder, name)?;
    io::copy(&mut source, &mut file).map_err(failed("write", &temporary.path))?;
    // On the open file, because the mode that it was created with loses what the umask takes.
    let bits = fs::Permissions::from_mode(permissions.mode() & 0o7777);
    file.set_permissions(bits)
        .map_err(failed("set the permissions of", &temporary.path))?;
    temporary.rename_to(&target)
}

/// A new file, locked until it is closed: one that nobody locks was left behind by a process that was killed.
/// Where the file system has no locks, such leftovers stay.
fn create(folder: &Path, name: &str) -> Result<(Temporary, File), InitError> {
    loop {
        let temporary = Temporary::claim(folder, name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary.path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => failed("find", folder)(error),
                _ => failed("create", &temporary.path)(error),
            })?;
        let _ = file.lock();
        // Another process may have taken it for a leftover before it was locked.
        let links = file
            .metadata()
            .map_err(failed("examine", &temporary.path))?
            .nlink();
        if links > 0 {
            return Ok((temporary, file));
        }
    }
}

fn link(to: &Path, folder: &Path) -> Result<(), InitError> {
    let target = folder.join(LINK);
    if fs::read_link(&target).is_ok_and(|present| present == to) {
        return Ok(());
    }
    let temporary = Temporary::claim(folder, LINK);
    symlink(to, &temporary.path).map_err(failed("create", &temporary.path))?;
    temporary.rename_to(&target)
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InitError {
    move |source| InitError {
        act,
        path: path.to_owned(),
        source,
    }
}

/// A name that is removed again unless it is renamed.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn claim(folder: &Path, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two containers that share the folder may both run this as the same pid, so the time tells them
        // apart; where it does not, creating the file fails and nothing is harmed.
        let time = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |elapsed| elapsed.as_nanos());
        let path = folder.join(format!("{}{}.{time}.{number}", prefix(name), std::process::id()));
        Self { path }
    }

    fn rename_to(self, target: &Path) -> Result<(), InitError> {
        fs::rename(&self.path, target).map_err(failed("create", target))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn prefix(name: &str) -> String {
    format!(".{name}.partial.")
}

/// Removes what a process that was killed has left. Best effort: it is in nobody's way.
fn remove_leftovers(folder: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&prefix(name)) {
            continue;
        }
        // A pipe of that name would be waited for.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
