//! Output: numbered chunks, each kept once, in whatever order they come.

use api::runner::task::{Bytes, Chunk, Content, Stream};
use api::{AttemptRef, InstanceId, TaskId};
use queue::{Call, Refusal};
use rusqlite::{Connection, OptionalExtension, params};

use super::change::Change;
use super::column::{clamped, from_json, to_json};
use super::jobs;
use crate::error::StoreError;

/// A chunk as a row holds it, but for what only some queries want.
pub(super) struct Row {
    pub(super) step: u32,
    stream: String,
    bytes: Option<Vec<u8>>,
    lost: Option<u64>,
}

impl Row {
    /// Reads `step, stream, bytes, lost` from a column on.
    pub(super) fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            step: row.get(first)?,
            stream: row.get(first + 1)?,
            bytes: row.get(first + 2)?,
            lost: row.get(first + 3)?,
        })
    }

    /// How much output it holds.
    pub(super) fn length(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }

    /// Where it came from.
    pub(super) fn stream(&self) -> Result<Stream, StoreError> {
        from_json(&self.stream)
    }

    /// What people see of it.
    pub(super) fn text(self) -> String {
        match (self.bytes, self.lost) {
            (Some(bytes), _) => String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            (None, lost) => format!("[{} bytes lost]\n", lost.unwrap_or(0)),
        }
    }

    fn content(self) -> Content {
        match self.bytes {
            Some(bytes) => Content::Bytes(Bytes(bytes)),
            None => Content::Lost(self.lost.unwrap_or(0)),
        }
    }
}

/// An attempt's row, and how much of its output is stored without a gap.
pub(super) struct Stored {
    pub(super) row: i64,
    pub(super) pipeline: i64,
    pub(super) highest: u64,
}

impl Stored {
    /// The attempt's; none where it never was.
    pub(super) fn of(sql: &Connection, attempt: &AttemptRef) -> Result<Option<Self>, StoreError> {
        Ok(sql
            .prepare_cached("SELECT row, pipeline, stored FROM attempts WHERE task = ?1 AND number = ?2")?
            .query_row(params![attempt.task.as_str(), attempt.number], |row| {
                Ok(Self {
                    row: row.get(0)?,
                    pipeline: row.get(1)?,
                    highest: row.get(2)?,
                })
            })
            .optional()?)
    }
}

/// Stores chunks where the rules allow it. The first content of a number stays, whatever comes later.
pub(crate) fn take(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    instance: Option<InstanceId>,
    chunks: &[Chunk],
) -> Result<Result<u64, Refusal>, StoreError> {
    let Some(mut stored) = Stored::of(change.sql, attempt)? else {
        return Ok(Err(Refusal::NotFound));
    };
    let highest = chunks.iter().map(|chunk| chunk.sequence).max().unwrap_or(0);
    if chunks
        .iter()
        .any(|chunk| chunk.sequence == 0 || i64::try_from(chunk.sequence).is_err())
    {
        return Ok(Err(Refusal::Invalid("output is numbered from 1".to_owned())));
    }
    let call = Call::Output {
        instance,
        last: highest,
    };
    if let Err(refusal) = jobs::call(change, attempt, call, "")? {
        return Ok(Err(refusal));
    }
    let mut added = 0;
    for chunk in chunks.iter().filter(|chunk| chunk.sequence > stored.highest) {
        added += insert(change, &stored, chunk)?;
    }
    close_gap(change, &mut stored, added)?;
    Ok(Ok(stored.highest))
}

/// Answers how many bytes it stored.
fn insert(change: &Change<'_>, stored: &Stored, chunk: &Chunk) -> Result<usize, StoreError> {
    let (bytes, lost) = match &chunk.content {
        Content::Bytes(Bytes(bytes)) => (Some(bytes), None),
        Content::Lost(lost) => (None, Some(clamped(*lost))),
    };
    let added = change
        .sql
        .prepare_cached(
            "INSERT INTO output (attempt, sequence, pipeline, step, stream, time, bytes, lost)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            stored.row,
            chunk.sequence,
            stored.pipeline,
            chunk.step,
            to_json(&chunk.stream)?,
            chunk.time,
            bytes,
            lost
        ])?;
    if let (1, Some(lost)) = (added, lost) {
        change
            .sql
            .prepare_cached("UPDATE attempts SET lost = lost + ?2 WHERE row = ?1")?
            .execute(params![stored.row, lost])?;
    }
    Ok(if added > 0 { bytes.map_or(0, Vec::len) } else { 0 })
}

/// Gives cursors to the chunks that follow without a gap, so that followers see each attempt's in order.
/// `added` is how many bytes have come.
fn close_gap(change: &mut Change<'_>, stored: &mut Stored, added: usize) -> Result<(), StoreError> {
    let before = stored.highest;
    let mut assign = change
        .sql
        .prepare_cached("UPDATE output SET cursor = ?3 WHERE attempt = ?1 AND sequence = ?2")?;
    loop {
        let cursor = change.memory.next_cursor;
        if assign.execute(params![stored.row, stored.highest + 1, cursor])? == 0 {
            break;
        }
        change.memory.take_cursor();
        stored.highest += 1;
    }
    if stored.highest != before || added > 0 {
        change
            .sql
            .prepare_cached("UPDATE attempts SET stored = ?2, kept_bytes = kept_bytes + ?3 WHERE row = ?1")?
            .execute(params![stored.row, stored.highest, added])?;
    }
    Ok(())
}

/// Gives cursors to what is stored behind a gap: the attempt is closed, so the gap stays.
pub(super) fn give_up_gaps(change: &mut Change<'_>, attempt: &AttemptRef) -> Result<(), StoreError> {
    let Some(stored) = Stored::of(change.sql, attempt)? else {
        return Ok(());
    };
    let behind: Vec<u64> = change
        .sql
        .prepare_cached("SELECT sequence FROM output WHERE attempt = ?1 AND sequence > ?2 ORDER BY sequence")?
        .query_map(params![stored.row, stored.highest], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for sequence in behind {
        let cursor = change.memory.take_cursor();
        change
            .sql
            .prepare_cached("UPDATE output SET cursor = ?3 WHERE attempt = ?1 AND sequence = ?2")?
            .execute(params![stored.row, sequence, cursor])?;
    }
    Ok(())
}

/// Chunks after a number, in their order.
pub(crate) fn list(
    sql: &Connection,
    task: &TaskId,
    attempt: Option<u32>,
    after: u64,
    limit_bytes: usize,
) -> Result<Vec<Chunk>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT sequence, time, step, stream, bytes, lost FROM output
         WHERE attempt = (SELECT row FROM attempts WHERE task = ?1 AND number = coalesce(?2, number)
                          ORDER BY number DESC LIMIT 1)
         AND sequence > ?3 AND cursor IS NOT NULL ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![task.as_str(), attempt, clamped(after)])?;
    let mut chunks = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        let held = Row::read(row, 2)?;
        size += held.length();
        if size > limit_bytes && !chunks.is_empty() {
            break;
        }
        chunks.push(Chunk {
            step: held.step,
            sequence: row.get(0)?,
            stream: held.stream()?,
            time: row.get(1)?,
            content: held.content(),
        });
    }
    Ok(chunks)
}
