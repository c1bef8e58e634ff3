//! The contract that the server works against.

mod people;
mod pipelines;
mod retention;
mod runner;
mod statuses;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use api::{AttemptRef, Millis, Secret};
use queue::Time;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::absence::Absences;
use crate::clock::{self, Clock};
use crate::error::StoreError;
use crate::input::Settings;
use crate::sqlite::change::{Change, Identity};
use crate::sqlite::readers::Readers;
use crate::sqlite::writer::{Message, Pending};
use crate::sqlite::{open, writer};
use crate::token::{self, Purpose};

/// The store. A clone is another handle on the same one.
///
/// Every call that changes something answers only after its change is on disk, synced; calls that wait at the
/// same time share one sync. Once the writer has ended, by [`close`](Self::close) or by a fault in the program,
/// every call gets [`StoreError::Closed`] and [`changes`](Self::changes) ends. A call whose future is dropped may still take effect. Calls may overlap and are
/// applied one after the other.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: mpsc::Sender<Message>,
    readers: Readers,
    changes: watch::Receiver<u64>,
    clock: Arc<Clock>,
    identity: Identity,
    away: Millis,
    absences: Absences,
    recovery: Option<String>,
}

impl Store {
    /// Opens the store in a folder, and makes both where they are missing.
    ///
    /// Every lease and presence gets a full term. A file that nobody closed is checked first. The folder is held until [`close`](Self::close), or until
    /// the last handle is dropped, or until the process ends.
    ///
    /// # Errors
    /// [`StoreError::Held`] while another process holds the folder; [`StoreError::Newer`] for the database of
    /// a newer program; [`StoreError::Damaged`] for a file that is not whole; [`StoreError::Lost`] where the file is not there but
    /// what it knew of is; others where the disk or the file is at fault.
    pub async fn open(folder: &Path, settings: Settings) -> Result<Self, StoreError> {
        Self::open_at(folder, settings, clock::wall()).await
    }

    /// Opens the store while the wall clock says `wall`.
    async fn open_at(folder: &Path, settings: Settings, wall: u64) -> Result<Self, StoreError> {
        let folder = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || open::open(&folder, settings, wall))
            .await
            .map_err(|_| StoreError::Closed)??;
        let clock = Arc::clone(&opened.writer.clock);
        let (sender, changes) = writer::start(opened.writer, opened.readers.clone())?;
        Ok(Self {
            shared: Arc::new(Shared {
                writer: sender,
                readers: opened.readers,
                changes,
                clock,
                identity: opened.identity,
                away: opened.away,
                absences: opened.absences,
                recovery: opened.recovery,
            }),
        })
    }

    /// Finishes what waits, closes the database and gives the folder free. Later calls on any handle get
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.shared.writer.send(Message::Close(sender)).await.is_ok() {
            // A writer that ended already dropped its end: closed as well.
            let _ended = closed.await;
        }
        self.shared.readers.close();
    }

    /// The installation's id, made at the first start: every place is labelled with it.
    #[must_use]
    pub fn installation(&self) -> &str {
        &self.shared.identity.installation
    }

    /// The server's own key, made at the first start.
    #[must_use]
    pub fn server_key(&self) -> &Secret {
        &self.shared.identity.server_key
    }

    /// Rises after each commit that changed something that somebody may wait for.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.clone()
    }

    /// The store's time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// What was found, in words, when the store was opened and nobody had closed it before; none where nothing was
    /// wrong with it.
    #[must_use]
    pub fn recovery(&self) -> Option<&str> {
        self.shared.recovery.as_deref()
    }

    /// How much later it was, by the wall clock, when the store was opened, than when it last wrote something. More
    /// than anybody was away for tells of a clock that was set wrong.
    #[must_use]
    pub fn away(&self) -> Millis {
        self.shared.away
    }

    /// What is from before this moment is older than `age`. Of a time that nobody had the store open, which the wall
    /// clock alone tells of, no more than a day counts.
    #[must_use]
    pub fn older_than(&self, age: Millis) -> Time {
        self.shared.absences.older_than(age, self.now())
    }

    /// The task token of an attempt. It is not stored; the server's key makes it again.
    #[must_use]
    pub fn task_token(&self, attempt: &AttemptRef) -> Secret {
        token::of_attempt(&self.shared.identity.server_key, Purpose::Task, attempt)
    }

    /// What an attempt reads its repository with. It is good for nothing else.
    #[must_use]
    pub fn git_token(&self, attempt: &AttemptRef) -> Secret {
        token::of_attempt(&self.shared.identity.server_key, Purpose::Git, attempt)
    }

    /// The attempt that a task token is good for. Compares in constant time.
    #[must_use]
    pub fn attempt_of_token(&self, token: &Secret) -> Option<AttemptRef> {
        token::attempt_of(&self.shared.identity.server_key, Purpose::Task, token)
    }

    /// The attempt whose repository a git token is good for. Compares in constant time.
    #[must_use]
    pub fn attempt_of_git_token(&self, token: &Secret) -> Option<AttemptRef> {
        token::attempt_of(&self.shared.identity.server_key, Purpose::Git, token)
    }

    /// Hands an operation to the writer and waits until it is durable.
    async fn write<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Change<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (pending, answer) = Pending::new(act);
        self.shared
            .writer
            .send(Message::Operation(Box::new(pending)))
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads what is committed, beside the writer.
    async fn read<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.shared.readers.read(act).await
    }
}
