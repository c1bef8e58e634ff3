//! What is removed when it is old or too much: marked in one transaction, so that nobody sees half of it, and
//! then deleted piece by piece, so that the writer is never held for long. What is marked is in `removals` until
//! the last piece is gone; an interrupted removal is found there and finished.
//!
//! A pipeline that has not ended, or of which a job waits for a deadline, is never touched.

use std::collections::HashSet;

use api::TaskId;
use api::people::EventKind;
use api::runner::task::Stream;
use queue::Time;
use rusqlite::{Connection, OptionalExtension, params};

use super::change::Change;
use super::column::{clamped, from_json, to_json, wire_time};
use super::{audit, events, pipelines};
use crate::clock;
use crate::error::StoreError;
use crate::input::{Kept, Reach, Removal, Removed};

/// How many rows of a table go in one transaction. A chunk of output is at most 64 KiB.
const PIECE: usize = 256;
/// How many pages of the file are given back in one transaction.
const PAGES: u32 = 1024;

/// For `WHERE` of queries over `pipelines`: not one that is being removed.
pub(super) const NOT_LEAVING: &str = "NOT EXISTS (SELECT 1 FROM removals \
     WHERE removals.pipeline = pipelines.number AND removals.what = 'pipeline')";

/// The pipelines that may be touched and have what is to be removed, oldest first, with how many bytes that is.
const OF_LOGS: &str = "
    SELECT number, id, ended, (SELECT coalesce(sum(kept_bytes), 0) FROM jobs JOIN attempts USING (task)
                               WHERE jobs.pipeline = pipelines.number)
    FROM pipelines WHERE logs_removed IS NULL
    AND EXISTS (SELECT 1 FROM output WHERE output.pipeline = pipelines.number)";
const OF_ARTIFACTS: &str = "
    SELECT number, id, ended, (SELECT coalesce(sum(size), 0) FROM jobs JOIN attempts USING (task)
                               JOIN artifacts ON artifacts.attempt = attempts.row
                               WHERE jobs.pipeline = pipelines.number)
    FROM pipelines WHERE artifacts_removed IS NULL
    AND EXISTS (SELECT 1 FROM jobs JOIN attempts USING (task) JOIN artifacts ON artifacts.attempt = attempts.row
                WHERE jobs.pipeline = pipelines.number)";
const OF_PIPELINES: &str = "SELECT number, id, ended, 0 FROM pipelines WHERE TRUE";

fn word(what: Removed) -> &'static str {
    match what {
        Removed::Logs => "logs",
        Removed::Artifacts => "artifacts",
        Removed::Pipeline => "pipeline",
    }
}

fn from_word(word: &str) -> Result<Removed, StoreError> {
    match word {
        "logs" => Ok(Removed::Logs),
        "artifacts" => Ok(Removed::Artifacts),
        "pipeline" => Ok(Removed::Pipeline),
        other => Err(StoreError::unreadable("what is removed", other)),
    }
}

/// Marks what is to be removed, oldest first. Answers how many pipelines it concerns.
pub(crate) fn begin(
    change: &mut Change<'_>,
    what: Removed,
    reach: Reach,
    limit: u32,
    why: &str,
) -> Result<u32, StoreError> {
    let having = match what {
        Removed::Logs => OF_LOGS,
        Removed::Artifacts => OF_ARTIFACTS,
        Removed::Pipeline => OF_PIPELINES,
    };
    let before = match reach {
        Reach::EndedBefore(time) => clamped(time.0),
        Reach::Oldest { .. } => i64::MAX,
    };
    let mut statement = change.sql.prepare_cached(&format!(
        "{having} AND state = 'ended' AND ended < ?1 AND {NOT_LEAVING}
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.pipeline = pipelines.number AND active = 1)
         ORDER BY ended LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![before, limit])?;
    let mut chosen: Vec<(i64, String)> = Vec::new();
    let mut freed: u64 = 0;
    while let Some(row) = rows.next()? {
        if let Reach::Oldest { bytes } = reach
            && freed >= bytes
        {
            break;
        }
        freed = freed.saturating_add(row.get(3)?);
        chosen.push((row.get(0)?, row.get(1)?));
    }
    drop(rows);
    drop(statement);
    for (number, id) in &chosen {
        mark(change, what, *number, id, why)?;
    }
    Ok(u32::try_from(chosen.len()).unwrap_or(u32::MAX))
}

fn mark(change: &mut Change<'_>, what: Removed, number: i64, id: &str, why: &str) -> Result<(), StoreError> {
    change
        .sql
        .prepare_cached("INSERT INTO removals (pipeline, what) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![number, word(what)])?;
    match what {
        Removed::Logs => {
            set_removed(change, "logs_removed", number)?;
            say_in_events(change, number, why)?;
        }
        Removed::Artifacts => set_removed(change, "artifacts_removed", number)?,
        Removed::Pipeline => {}
    }
    audit::write(change, "server", &format!("retention.{}", word(what)), id, why)
}

fn set_removed(change: &Change<'_>, column: &str, number: i64) -> Result<(), StoreError> {
    change
        .sql
        .prepare_cached(&format!("UPDATE pipelines SET {column} = ?2 WHERE number = ?1"))?
        .execute(params![number, change.now.0])?;
    Ok(())
}

/// Puts a note in the place of each attempt's output, so that who follows is told, and in the same order.
fn say_in_events(change: &mut Change<'_>, number: i64, why: &str) -> Result<(), StoreError> {
    let text = format!("[this log was removed on {}: {why}]\n", clock::utc(change.now.0));
    let attempts: Vec<(i64, String, String)> = change
        .sql
        .prepare_cached(
            "SELECT row, name, step_names FROM jobs JOIN attempts USING (task) WHERE jobs.pipeline = ?1",
        )?
        .query_map([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (attempt, job, steps) in attempts {
        let first: Option<(Option<i64>, u32)> = change
            .sql
            .prepare_cached("SELECT cursor, step FROM output WHERE attempt = ?1 ORDER BY sequence LIMIT 1")?
            .query_row([attempt], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((Some(cursor), step)) = first else {
            continue;
        };
        let steps: Vec<String> = from_json(&steps)?;
        let event = EventKind::StepOutput {
            job,
            step: events::step_name(steps.iter().map(String::as_str), step),
            stream: Stream::System,
            text: text.clone(),
        };
        change
            .sql
            .prepare_cached("DELETE FROM output WHERE attempt = ?1 AND cursor = ?2")?
            .execute([attempt, cursor])?;
        change
            .sql
            .prepare_cached("INSERT INTO events (cursor, pipeline, time, event) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![cursor, number, wire_time(change.now), to_json(&event)?])?;
        change
            .sql
            .prepare_cached("UPDATE attempts SET kept_bytes = 0 WHERE row = ?1")?
            .execute([attempt])?;
    }
    Ok(())
}

/// What is marked and not yet gone, oldest first.
pub(crate) fn list(sql: &Connection, limit: u32) -> Result<Vec<Removal>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT removals.pipeline, what, id FROM removals
         JOIN pipelines ON pipelines.number = removals.pipeline ORDER BY removals.pipeline LIMIT ?1",
    )?;
    let mut rows = statement.query([limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        found.push(Removal {
            number,
            what: from_word(&row.get::<_, String>(1)?)?,
            pipeline: pipelines::id_from(row.get(2)?)?,
            tasks: tasks(sql, number)?,
        });
    }
    Ok(found)
}

fn tasks(sql: &Connection, number: i64) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = sql.prepare_cached("SELECT task FROM jobs WHERE pipeline = ?1 ORDER BY position")?;
    let mut rows = statement.query([number])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        found.push(TaskId::new(text).map_err(|error| StoreError::unreadable("a task id", error))?);
    }
    Ok(found)
}

const OUTPUT: &str = "DELETE FROM output WHERE rowid IN
    (SELECT rowid FROM output WHERE pipeline = ?1 ORDER BY cursor LIMIT ?2)";
const ARTIFACTS: &str = "DELETE FROM artifacts WHERE (attempt, name) IN
    (SELECT artifacts.attempt, artifacts.name FROM jobs JOIN attempts USING (task)
     JOIN artifacts ON artifacts.attempt = attempts.row WHERE jobs.pipeline = ?1 LIMIT ?2)";

/// Everything of a pipeline, what refers to others first. Deliveries stay known by their ids and sums, so that
/// one that is sent again starts nothing.
const EVERYTHING: [&str; 8] = [
    OUTPUT,
    ARTIFACTS,
    "DELETE FROM events WHERE cursor IN (SELECT cursor FROM events WHERE pipeline = ?1 LIMIT ?2)",
    "DELETE FROM steps WHERE (attempt, step) IN
        (SELECT steps.attempt, steps.step FROM jobs JOIN attempts USING (task)
         JOIN steps ON steps.attempt = attempts.row WHERE jobs.pipeline = ?1 LIMIT ?2)",
    "DELETE FROM attempts WHERE row IN
        (SELECT row FROM jobs JOIN attempts USING (task) WHERE jobs.pipeline = ?1 LIMIT ?2)",
    "DELETE FROM jobs WHERE task IN (SELECT task FROM jobs WHERE pipeline = ?1 LIMIT ?2)",
    "UPDATE deliveries SET body = x'', pipeline = NULL WHERE number IN
        (SELECT number FROM deliveries WHERE pipeline = ?1 LIMIT ?2)",
    "DELETE FROM pipelines WHERE number IN (SELECT number FROM pipelines WHERE number = ?1 LIMIT ?2)",
];

/// Deletes a piece of what is marked. Answers whether that was the last.
pub(crate) fn go_on(change: &mut Change<'_>, removal: &Removal) -> Result<bool, StoreError> {
    let statements: &[&str] = match removal.what {
        Removed::Logs => &[OUTPUT],
        Removed::Artifacts => &[ARTIFACTS],
        Removed::Pipeline => &EVERYTHING,
    };
    let mut left = PIECE;
    for statement in statements {
        let gone = change
            .sql
            .prepare_cached(statement)?
            .execute(params![removal.number, left])?;
        left = left.saturating_sub(gone);
        if left == 0 {
            return Ok(false);
        }
    }
    let done = match removal.what {
        Removed::Pipeline => "DELETE FROM removals WHERE pipeline = ?1 AND ?2 <> ''",
        Removed::Logs | Removed::Artifacts => "DELETE FROM removals WHERE pipeline = ?1 AND what = ?2",
    };
    change
        .sql
        .prepare_cached(done)?
        .execute(params![removal.number, word(removal.what)])?;
    Ok(true)
}

/// How many bytes of output and of artifacts there are.
pub(crate) fn sizes(sql: &Connection) -> Result<(u64, u64), StoreError> {
    Ok(sql.query_row(
        "SELECT (SELECT coalesce(sum(kept_bytes), 0) FROM attempts), (SELECT coalesce(sum(size), 0) FROM artifacts)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Deletes the oldest entries of the audit log from before a time, a piece of them, and forgets deliveries of
/// pipelines that are gone as long. Answers how many entries went.
pub(crate) fn trim_audit(change: &mut Change<'_>, before: Time) -> Result<usize, StoreError> {
    // Times rise with numbers, so only the first entries have to be looked at.
    let gone = change
        .sql
        .prepare_cached(
            "DELETE FROM audit WHERE time < ?1 AND number IN (SELECT number FROM audit ORDER BY number LIMIT ?2)",
        )?
        .execute(params![clamped(before.0), PIECE])?;
    change
        .sql
        .prepare_cached(
            "DELETE FROM deliveries WHERE received < ?1 AND pipeline IS NULL
             AND number IN (SELECT number FROM deliveries ORDER BY number LIMIT ?2)",
        )?
        .execute(params![clamped(before.0), PIECE])?;
    Ok(gone)
}

/// Gives free pages at the file's end back to the disk, some of them. Answers whether there are more.
pub(crate) fn shrink(change: &mut Change<'_>) -> Result<bool, StoreError> {
    let free = |sql: &Connection| -> Result<u32, StoreError> {
        Ok(sql.pragma_query_value(None, "freelist_count", |row| row.get(0))?)
    };
    let before = free(change.sql)?;
    if before == 0 {
        return Ok(false);
    }
    let mut statement = change
        .sql
        .prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let after = free(change.sql)?;
    // A file that cannot shrink has as many as before.
    Ok(after > 0 && after < before)
}

/// When a job's log, or its artifacts, were removed.
pub(crate) fn when(sql: &Connection, task: &TaskId, what: Removed) -> Result<Option<Time>, StoreError> {
    let column = match what {
        Removed::Logs => "logs_removed",
        Removed::Artifacts => "artifacts_removed",
        Removed::Pipeline => return Ok(None),
    };
    let found: Option<Option<u64>> = sql
        .prepare_cached(&format!(
            "SELECT {column} FROM jobs JOIN pipelines ON pipelines.number = jobs.pipeline WHERE task = ?1"
        ))?
        .query_row([task.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(Time))
}

/// The artifacts of a job that are still named; none while more may come.
pub(crate) fn kept(sql: &Connection, task: &TaskId) -> Result<Option<Kept>, StoreError> {
    let state: Option<(String, bool)> = sql
        .prepare_cached(
            "SELECT pipelines.state, jobs.active FROM jobs JOIN pipelines ON pipelines.number = jobs.pipeline
             WHERE jobs.task = ?1",
        )?
        .query_row([task.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match state {
        // A task that nobody knows (any more).
        None => Ok(Some(HashSet::new())),
        Some((state, active)) if active || state != "ended" => Ok(None),
        Some(_) => {
            let mut statement = sql.prepare_cached(
                "SELECT number, sha256 FROM attempts JOIN artifacts ON artifacts.attempt = attempts.row
                 WHERE task = ?1",
            )?;
            let named = statement.query_map([task.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Some(named.collect::<Result<_, _>>()?))
        }
    }
}
