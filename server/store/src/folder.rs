//! The data folder: who may read it, and the lock that keeps a second process out.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock;
use crate::error::{Lock, Loss, StoreError};

/// Where the server keeps what only the database can name: artifacts and mirrors.
const NAMED_BY_THE_DATABASE: [&str; 2] = ["artifacts", "git"];
/// Uploads on their way. The server makes it at each start.
const INCOMING: &str = "incoming";
/// A file system makes it where the folder is a disk of its own.
const LOST_AND_FOUND: &str = "lost+found";

/// A folder that this process holds until this is dropped (or the process ends, however it ends).
#[derive(Debug)]
pub(crate) struct DataFolder {
    lock: File,
    root: PathBuf,
    database: PathBuf,
}

impl DataFolder {
    /// Makes the folder where it is missing, and takes its lock.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(at(folder))?;
        warn_if_open_to_others(folder).map_err(at(folder))?;
        let path = folder.join("lock");
        let lock = take(&path).map_err(at(&path))?;
        let Some(lock) = lock else {
            return Err(StoreError::Held {
                folder: folder.to_owned(),
                holder: holder(&path),
            });
        };
        let database = folder.join("goatherd.sqlite");
        let this = Self {
            lock,
            root: folder.to_owned(),
            database,
        };
        // Before SQLite opens it, which removes the log of an empty file.
        match fs::metadata(&this.database) {
            Ok(status) if status.len() > 0 => {}
            Ok(_) => this.refuse_if_used(Loss::Empty)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => this.refuse_if_used(Loss::Missing)?,
            Err(error) => return Err(at(&this.database)(error)),
        }
        // SQLite gives its side files the mode of the database, so it is made here with the right one.
        private().open(&this.database).map_err(at(&this.database))?;
        Ok(this)
    }

    /// For a database that is not there: refuses the folder if it holds what only a database can name. A first start
    /// makes its database whole before anything of that, so one that was killed can start again.
    pub(crate) fn refuse_if_used(&self, how: Loss) -> Result<(), StoreError> {
        let mut left = Vec::new();
        for name in NAMED_BY_THE_DATABASE {
            let folder = self.root.join(name);
            if holds_folders(&folder).map_err(at(&folder))? {
                left.push(folder);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        Err(StoreError::Lost {
            file: self.database.clone(),
            how,
            left,
        })
    }

    /// The database's file.
    pub(crate) fn database(&self) -> &Path {
        &self.database
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec still has the descriptor, and with it the lock.
        self.lock.unlock().ok();
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Folder {
        path,
        source: Arc::new(error),
    }
}

/// Whether there is a job's folder or a mirror: anything but files and what a first start finds or makes.
fn holds_folders(folder: &Path) -> io::Result<bool> {
    for entry in entries(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let made = name == LOST_AND_FOUND
            || !entry.path().is_dir()
            || (name == INCOMING && entries(&entry.path())?.next().is_none());
        if !made {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
}

/// A folder that was there before may be somebody else's (`/tmp`), so its mode is not changed.
fn warn_if_open_to_others(folder: &Path) -> io::Result<()> {
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            folder = %folder.display(),
            mode = format!("{:o}", mode & 0o7777),
            "the data folder can be reached by other users"
        );
    }
    Ok(())
}

fn take(path: &Path) -> io::Result<Option<File>> {
    let mut file = private().open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let content = serde_json::to_vec(&this_process()).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&content)?;
    Ok(Some(file))
}

fn this_process() -> Lock {
    let word =
        |path: &str| fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned());
    Lock {
        pid: std::process::id(),
        host: word("/proc/sys/kernel/hostname"),
        program: word("/proc/self/comm"),
        since: clock::utc(clock::wall()),
    }
}

/// What the holder wrote. It may be about to write it, or be of another version: then it stays unnamed.
fn holder(path: &Path) -> Lock {
    let unnamed = Lock {
        pid: 0,
        host: String::new(),
        program: String::new(),
        since: String::new(),
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) => serde_json::from_str(&text).unwrap_or(unnamed),
        Err(_) => unnamed,
    }
}
