//! Opening: the folder, the file, its version, what is active.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use api::{Millis, Secret};
use queue::Time;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::change::Identity;
use super::memory::Memory;
use super::readers::{BUSY, Readers};
use super::writer::Writer;
use super::{agents, jobs, log, meta, schema, statuses};
use crate::absence::Absences;
use crate::clock::Clock;
use crate::error::{Loss, StoreError};
use crate::folder::DataFolder;
use crate::input::{Durability, Settings};
use crate::token;

/// The longest that SQLite's log stays, in bytes.
const LONGEST_LOG: i64 = 64 * 1024 * 1024;

/// An opened store, whose writer does not run yet.
pub(crate) struct Opened {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) identity: Identity,
    /// How much later it is, by the wall clock, than when the store last wrote something.
    pub(crate) away: Millis,
    /// What the check of a file that nobody closed found, where it is usable all the same.
    pub(crate) recovery: Option<String>,
    /// The times that make nothing older.
    pub(crate) absences: Absences,
}

/// Opens the store of a folder; `wall` is the wall clock's time.
pub(crate) fn open(folder: &Path, settings: Settings, wall: u64) -> Result<Opened, StoreError> {
    let folder = DataFolder::open(folder)?;
    let file = folder.database().to_owned();
    load(folder, settings, wall).map_err(|error| error.while_opening(&file))
}

fn load(folder: DataFolder, settings: Settings, wall: u64) -> Result<Opened, StoreError> {
    // Before SQLite opens it: it makes a new log where there is none.
    let flaw = log::look(folder.database()).map_err(|error| StoreError::Folder {
        path: folder.database().to_owned(),
        source: Arc::new(error),
    })?;
    let mut connection = connect(&folder, settings.durability)?;
    let mut recovery = None;
    if meta::was_left_open(&connection)? {
        check(&connection, folder.database())?;
        recovery = flaw.map(|flaw| flaw.to_string());
        if let Some(found) = &recovery {
            tracing::warn!(found, "the store was not closed when it was last used");
        }
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    schema::migrate(&mut connection)?;
    let transaction = connection.transaction()?;
    let identity = Identity {
        installation: meta::get_or_make(&transaction, "installation", || token::random_word(20))?,
        server_key: Secret::new(meta::get_or_make(&transaction, "server_key", token::random_hex)?),
    };
    let (last, next_cursor) = meta::progress(&transaction)?;
    let clock = Arc::new(Clock::after(last, wall));
    let mut absences = meta::absences(&transaction)?;
    if last > 0 && absences.note(Time(last), clock.now()) {
        meta::set_absences(&transaction, &absences)?;
    }
    let mut memory = Memory::new(next_cursor);
    jobs::load_active(&transaction, &mut memory, clock.now())?;
    agents::load_present(&transaction, &mut memory, settings.terms.presence, clock.now())?;
    statuses::forget_refusals(&transaction, clock.now())?;
    memory.keep();
    meta::set_open(&transaction)?;
    transaction.commit()?;
    // The note that it is open goes into the file itself: a log that is gone later is missed.
    if settings.durability == Durability::Lasting
        && let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    {
        tracing::debug!(%error, "the database's log could not be emptied");
    }
    let readers = Readers::new(folder.database());
    let writer = Writer {
        connection,
        memory,
        clock,
        settings,
        identity: identity.clone(),
        folder,
    };
    Ok(Opened {
        writer,
        readers,
        identity,
        absences,
        recovery,
        away: Millis(if last == 0 { 0 } else { wall.saturating_sub(last) }),
    })
}

/// Looks whether the file is whole, because nobody closed it. SQLite recovers from a killed process and from a
/// power cut by itself; this finds what a disk or another program did to it.
fn check(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let bytes = std::fs::metadata(file).map_or(0, |status| status.len());
    tracing::info!(
        bytes,
        "the store was not closed when it was last used: checking it"
    );
    let began = Instant::now();
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Damaged {
            file: file.to_owned(),
            found,
        });
    }
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(duration_ms, "the store is whole");
    Ok(())
}

fn connect(folder: &DataFolder, durability: Durability) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.database(), flags)?;
    connection.busy_timeout(BUSY)?;
    // A file that is refused is left as it is: closing it must not bring its log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Before anything is written: to make the file and to change to WAL is worth eight syncs.
    let synchronous = match durability {
        // With WAL, FULL syncs the log at each commit: what was answered survives a power cut.
        Durability::Lasting => "FULL",
        Durability::Throwaway => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    schema::refuse_newer(&connection)?;
    if !schema::has_tables(&connection)? {
        folder.refuse_if_used(Loss::Blank)?;
    }
    schema::let_it_shrink(&connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A log that one large change made long is cut back at the next checkpoint.
    connection.pragma_update_and_check(None, "journal_size_limit", LONGEST_LOG, |_| Ok(()))?;
    // Operations repeat a few dozen statements.
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}
