//! What can go wrong with the store itself. What the rules refuse is a [`Refusal`](queue::Refusal).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::PipelineId;
use serde::{Deserialize, Serialize};

/// A failure of the store. Nothing of the failed operation was kept.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process works on this folder.
    #[error("data folder {} is held by {holder}", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who holds it.
        holder: Lock,
    },
    /// The folder or a file in it cannot be used.
    #[error("could not use {}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// A newer program made the file; start that one.
    #[error(
        "the database has schema version {found}, but this program knows only up to {known}: use a newer one"
    )]
    Newer {
        /// The file's version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The disk is full: free space and repeat.
    #[error("the disk of the data folder is full")]
    Full {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The file is damaged. It is not used, so that it gets no worse.
    #[error(
        "the database {} is damaged ({found}); nothing was changed in it: put a backup in its place, or move the data folder away to begin anew",
        file.display()
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What SQLite found first.
        found: String,
    },
    /// The database is not there, but what it knew of is. A new one would know of nothing, and what no database
    /// knows of is removed.
    #[error(
        "the database {} {how}, but {} {} what it knew of; nothing was changed: put a backup in its place, with no \
         goatherd.sqlite-wal of another time beside it, or move {} away to begin anew",
        file.display(),
        listed(left),
        if left.len() == 1 { "holds" } else { "hold" },
        listed(left)
    )]
    Lost {
        /// Where the database should be.
        file: PathBuf,
        /// In what way it is not there.
        how: Loss,
        /// The folders that are left of what it knew of.
        left: Vec<PathBuf>,
    },
    /// The database failed.
    #[error("the database failed")]
    Database {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// Something that is stored makes no sense: another program wrote it, or this one is wrong.
    #[error("stored {what} cannot be read: {why}")]
    Unreadable {
        /// What it is.
        what: String,
        /// Why not.
        why: String,
    },
    /// There is no such pipeline.
    #[error("there is no pipeline {0}")]
    NoPipeline(PipelineId),
    /// The plan breaks its own contract.
    #[error("the plan is not sound: {0}")]
    Plan(String),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random(#[source] getrandom::Error),
    /// The store was closed, or its writer ended.
    #[error("the store is closed")]
    Closed,
}

/// In what way a database is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// There is no file.
    Missing,
    /// The file has no bytes.
    Empty,
    /// The file is a database in which nothing was ever stored.
    Blank,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "is missing",
            Self::Empty => "is empty",
            Self::Blank => "has no tables",
        })
    }
}

fn listed(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    folders.join(" and ")
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let source = Arc::new(error);
        let code = source.sqlite_error().map(|error| error.extended_code);
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full { source },
            // SQLite's shared memory is a file beside the database, and cannot grow on a full disk either.
            _ if code == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Self::Full { source },
            _ => Self::Database { source },
        }
    }
}

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error)
    }
}

impl StoreError {
    /// While a store is opened: a file that SQLite finds damaged is told apart.
    pub(crate) fn while_opening(self, file: &Path) -> Self {
        match &self {
            Self::Database { source } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                    Self::Damaged {
                        file: file.to_owned(),
                        found: source.to_string(),
                    }
                }
                _ => self,
            },
            _ => self,
        }
    }

    /// For `map_err` on what was read from a column.
    pub(crate) fn unreadable(what: &str, why: impl fmt::Display) -> Self {
        Self::Unreadable {
            what: what.to_owned(),
            why: why.to_string(),
        }
    }
}

/// Who holds a data folder: the content of its file `lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// The program's name.
    pub program: String,
    /// Since when, in UTC.
    pub since: String,
}

impl fmt::Display for Lock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return formatter.write_str("another process that did not say which");
        }
        write!(
            formatter,
            "process {} ({}) on {} since {}",
            self.pid, self.program, self.host, self.since
        )
    }
}
