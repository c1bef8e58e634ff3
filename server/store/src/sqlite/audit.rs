//! The audit log: who did what, written with what they did.

use api::people::AuditEntry;
use rusqlite::{Connection, params};

use super::change::Change;
use crate::error::StoreError;

/// Writes an entry. Nothing secret may be in it.
pub(crate) fn write(
    change: &mut Change<'_>,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    change
        .sql
        .prepare_cached(
            "INSERT INTO audit (time, actor, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![change.now.0, actor, action, subject, detail])?;
    Ok(())
}

/// Entries after a number, oldest first.
pub(crate) fn list(sql: &Connection, after: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT number, time, actor, action, subject, detail FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2",
    )?;
    let entries = statement.query_map(params![after, limit], |row| {
        Ok(AuditEntry {
            number: row.get(0)?,
            time: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            detail: row.get(5)?,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}
