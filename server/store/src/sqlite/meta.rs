//! The few values that belong to the database as a whole.

use queue::Time;
use rusqlite::{Connection, OptionalExtension, params};

use super::column::{from_json, to_json};
use super::schema;
use crate::absence::Absences;
use crate::error::StoreError;

fn get(sql: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    Ok(sql
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

fn set(sql: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    sql.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
    )?
    .execute(params![key, value])?;
    Ok(())
}

/// The value of a key that is made once.
pub(super) fn get_or_make(
    sql: &Connection,
    key: &str,
    make: impl FnOnce() -> Result<String, StoreError>,
) -> Result<String, StoreError> {
    if let Some(value) = get(sql, key)? {
        return Ok(value);
    }
    let value = make()?;
    set(sql, key, &value)?;
    Ok(value)
}

fn number(sql: &Connection, key: &str) -> Result<u64, StoreError> {
    get(sql, key)?.map_or(Ok(0), |text| {
        text.parse().map_err(|error| StoreError::unreadable(key, error))
    })
}

/// The last stored time in milliseconds since the epoch, and the next cursor.
pub(super) fn progress(sql: &Connection) -> Result<(u64, u64), StoreError> {
    Ok((number(sql, "time")?, number(sql, "next_cursor")?.max(1)))
}

/// Stores how far time and cursors are; with every commit that writes.
pub(super) fn set_progress(sql: &Connection, now: Time, next_cursor: u64) -> Result<(), StoreError> {
    set(sql, "time", &now.0.to_string())?;
    set(sql, "next_cursor", &next_cursor.to_string())
}

/// The times that make nothing older.
pub(super) fn absences(sql: &Connection) -> Result<Absences, StoreError> {
    get(sql, "absences")?.map_or(Ok(Absences::default()), |text| from_json(&text))
}

/// Stores them.
pub(super) fn set_absences(sql: &Connection, absences: &Absences) -> Result<(), StoreError> {
    set(sql, "absences", &to_json(absences)?)
}

/// Notes that the store is open; gone once it was closed as it should be.
pub(crate) fn set_open(sql: &Connection) -> Result<(), StoreError> {
    set(sql, "open", "1")
}

/// Notes that all is written and the store is closed.
pub(super) fn set_closed(sql: &Connection, now: Time, next_cursor: u64) -> Result<(), StoreError> {
    let transaction = sql.unchecked_transaction()?;
    set_progress(&transaction, now, next_cursor)?;
    transaction.execute("DELETE FROM meta WHERE key = 'open'", [])?;
    Ok(transaction.commit()?)
}

/// Whether the last process that had the store open ended without closing it.
pub(super) fn was_left_open(sql: &Connection) -> Result<bool, StoreError> {
    Ok(schema::has_tables(sql)? && get(sql, "open")?.is_some())
}
