//! The one writer: a thread that owns the connection that writes and the memory of what is active.
//!
//! It takes what waits into one transaction, each operation in a savepoint of its own, commits once, and
//! answers only then. What fails leaves no trace, neither in the file nor in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use queue::Time;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Change, Identity};
use super::memory::{Mark, Memory};
use super::meta;
use super::readers::Readers;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::folder::DataFolder;
use crate::input::{Durability, Settings};

/// How many operations may wait before callers do.
const WAITING: usize = 1024;

/// How many operations share a transaction at most, so that the first of many does not wait for ever.
const BATCH: usize = 256;

/// How long a reader may keep the database's log from being emptied when the store closes.
const LAST_READERS: Duration = Duration::from_secs(1);

/// What the writer is told.
pub(crate) enum Message {
    /// Apply this.
    Operation(Box<dyn Operation>),
    /// Finish what came before, close everything, answer.
    Close(oneshot::Sender<()>),
}

/// A change that waits for its turn.
pub(crate) trait Operation: Send {
    /// Applies it, and keeps the answer for later. An error undoes it.
    fn run(&mut self, change: &mut Change<'_>) -> Result<(), StoreError>;

    /// Answers the caller; with `failure` where the transaction around it failed.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

/// The operation that a closure is.
pub(crate) struct Pending<T, F> {
    act: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Pending<T, F> {
    /// The operation, and where its answer comes.
    pub(crate) fn new(act: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        let pending = Self {
            act: Some(act),
            outcome: None,
            reply,
        };
        (pending, answer)
    }
}

impl<T, F> Operation for Pending<T, F>
where
    T: Send,
    F: FnOnce(&mut Change<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, change: &mut Change<'_>) -> Result<(), StoreError> {
        let outcome = self.act.take().map_or(Err(StoreError::Closed), |act| act(change));
        let failure = outcome.as_ref().err().cloned();
        self.outcome = Some(outcome);
        failure.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let outcome = match failure {
            Some(failure) => Err(failure.clone()),
            None => self.outcome.unwrap_or(Err(StoreError::Closed)),
        };
        // A caller that went away wants no answer.
        let _gone = self.reply.send(outcome);
    }
}

/// What the writer thread owns.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) memory: Memory,
    pub(crate) clock: Arc<Clock>,
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    /// The last to go, so that nobody opens the file before it is closed.
    pub(crate) folder: DataFolder,
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Closes the readers when the writer ends, also by a panic: a store that can only be read must not look well.
struct EndOfReads(Readers);

impl Drop for EndOfReads {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts the writer's thread. It ends on [`Message::Close`], or when all senders are gone.
pub(crate) fn start(
    writer: Writer,
    readers: Readers,
) -> Result<(mpsc::Sender<Message>, watch::Receiver<u64>), StoreError> {
    let (sender, inbox) = mpsc::channel(WAITING);
    let (changes, seen) = watch::channel(0);
    let path = writer.folder.database().to_owned();
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || {
            let _with_the_writer = EndOfReads(readers);
            serve(writer, inbox, &changes);
        })
        .map_err(|source| StoreError::Folder {
            path,
            source: Arc::new(source),
        })?;
    Ok((sender, seen))
}

fn serve(mut writer: Writer, mut inbox: mpsc::Receiver<Message>, changes: &watch::Sender<u64>) {
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = inbox.blocking_recv() else { break };
        let mut batch = VecDeque::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Operation(operation) => batch.push_back(operation),
                Message::Close(reply) => {
                    closing = Some(reply);
                    break;
                }
            }
            next = if batch.len() < BATCH {
                inbox.try_recv().ok()
            } else {
                None
            };
        }
        while !batch.is_empty() {
            writer.transaction(&mut batch, changes);
        }
    }
    drop(inbox);
    let now = writer.clock.now();
    let Writer {
        connection,
        folder,
        memory,
        settings,
        ..
    } = writer;
    if settings.durability == Durability::Lasting {
        leave_in_order(&connection, now, memory.next_cursor);
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database did not close cleanly; what was acknowledged is safe");
    }
    drop(folder);
    if let Some(reply) = closing {
        let _gone = reply.send(());
    }
}

/// Leaves a file that the next start finds as small as it can be, and need not check.
fn leave_in_order(connection: &Connection, now: Time, next_cursor: u64) {
    if let Err(error) = meta::set_closed(connection, now, next_cursor) {
        tracing::warn!(%error, "the database could not be marked as closed: the next start checks it");
    }
    // Readers are open still, so that closing does not do this by itself: all goes into the one file, which gets
    // as small as it can. A reader that is at work is not waited for long; the next start does it then.
    let emptied = connection
        .busy_timeout(LAST_READERS)
        .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    if let Err(error) = emptied {
        tracing::debug!(%error, "the database's log stays for the next start");
    }
}

impl Writer {
    /// Applies what waits in one transaction and answers it. Where SQLite gives up the whole transaction in
    /// the middle, the rest stays in `waiting` for another one.
    fn transaction(&mut self, waiting: &mut VecDeque<Box<dyn Operation>>, changes: &watch::Sender<u64>) {
        let mut done = Vec::new();
        let before = self.connection.total_changes();
        let result = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(StoreError::from)
            .and_then(|()| self.run(waiting, &mut done))
            .and_then(|news| self.commit(before).map(|wrote| news || wrote));
        match result {
            Ok(news) => {
                self.memory.keep();
                if news {
                    changes.send_modify(|number| *number += 1);
                }
                done.into_iter().for_each(|operation| operation.answer(None));
            }
            Err(error) => {
                let chain: &dyn std::error::Error = &error;
                match &error {
                    // Each caller is told, and whoever serves them says it once for all.
                    StoreError::Full { .. } => tracing::debug!(error = chain, "a transaction found no room"),
                    _ => tracing::error!(error = chain, "a transaction failed"),
                }
                self.memory.undo_to(Mark::default());
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a failed transaction could not be rolled back");
                }
                if done.is_empty() {
                    done.extend(waiting.drain(..));
                }
                done.into_iter()
                    .for_each(|operation| operation.answer(Some(&error)));
            }
        }
    }

    /// Runs each operation in a savepoint. Answers whether there is news beyond what is written.
    fn run(
        &mut self,
        waiting: &mut VecDeque<Box<dyn Operation>>,
        done: &mut Vec<Box<dyn Operation>>,
    ) -> Result<bool, StoreError> {
        let mut news = false;
        while let Some(mut operation) = waiting.pop_front() {
            let mark = self.memory.mark();
            self.connection.execute_batch("SAVEPOINT operation")?;
            let mut change = Change {
                sql: &self.connection,
                memory: &mut self.memory,
                now: self.clock.now(),
                settings: &self.settings,
                identity: &self.identity,
                news: false,
            };
            let result = operation.run(&mut change);
            news |= change.news && result.is_ok();
            done.push(operation);
            if let Err(error) = result {
                if self.connection.is_autocommit() {
                    return Err(error);
                }
                self.connection.execute_batch("ROLLBACK TO operation")?;
                self.memory.undo_to(mark);
            }
            self.connection.execute_batch("RELEASE operation")?;
        }
        Ok(news)
    }

    /// Commits. Answers whether anything was written; where not, no sync was needed.
    fn commit(&mut self, before: u64) -> Result<bool, StoreError> {
        let wrote = self.connection.total_changes() != before;
        if wrote {
            meta::set_progress(&self.connection, self.clock.now(), self.memory.next_cursor)?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(wrote)
    }
}
