//! Opening: the folder, the file, its version, what is active.

use std::path::Path;
use std::sync::Arc;

use api::Secret;
use rusqlite::{Connection, OpenFlags};

use super::change::Identity;
use super::memory::Memory;
use super::readers::{BUSY, Readers};
use super::writer::Writer;
use super::{agents, jobs, meta, schema, statuses};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::folder::DataFolder;
use crate::input::Settings;
use crate::token;

/// An opened store, whose writer does not run yet.
pub(crate) struct Opened {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) identity: Identity,
}

/// Opens the store of a folder.
pub(crate) fn open(folder: &Path, settings: Settings) -> Result<Opened, StoreError> {
    let folder = DataFolder::open(folder)?;
    let mut connection = connect(folder.database())?;
    schema::migrate(&mut connection)?;
    let transaction = connection.transaction()?;
    let identity = Identity {
        installation: meta::get_or_make(&transaction, "installation", || token::random_word(20))?,
        server_key: Secret::new(meta::get_or_make(&transaction, "server_key", token::random_hex)?),
    };
    let (last, next_cursor) = meta::progress(&transaction)?;
    let clock = Arc::new(Clock::after(last));
    let mut memory = Memory::new(next_cursor);
    jobs::load_active(&transaction, &mut memory, clock.now())?;
    agents::load_present(&transaction, &mut memory, settings.terms.presence, clock.now())?;
    statuses::forget_refusals(&transaction, clock.now())?;
    memory.keep();
    transaction.commit()?;
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
    })
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    schema::refuse_newer(&connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // With WAL, FULL syncs the log at each commit: what was answered survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Operations repeat a few dozen statements.
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}
