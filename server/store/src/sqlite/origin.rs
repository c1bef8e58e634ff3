//! Where pipelines come from.

use api::AttemptRef;
use queue::Job;
use rusqlite::{Connection, OptionalExtension};

use super::column::from_json;
use crate::error::StoreError;
use crate::input::{Origin, Scope};

/// The word in the table.
pub(super) const fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::Push => "push",
        Origin::Fork => "fork",
        Origin::Manual => "manual",
    }
}

/// What a word in the table means.
pub(super) fn read(word: &str) -> Result<Origin, StoreError> {
    [Origin::Push, Origin::Fork, Origin::Manual]
        .into_iter()
        .find(|origin| self::word(*origin) == word)
        .ok_or_else(|| StoreError::unreadable("a pipeline's origin", word))
}

/// What decides which secrets an attempt may have; none where it is not open.
pub(crate) fn scope(sql: &Connection, attempt: &AttemptRef) -> Result<Option<Scope>, StoreError> {
    let found: Option<[String; 4]> = sql
        .prepare_cached(
            "SELECT repository, reference, origin, aggregate FROM jobs
             JOIN pipelines ON pipelines.number = jobs.pipeline WHERE task = ?1",
        )?
        .query_row([attempt.task.as_str()], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })
        .optional()?;
    let Some([repository, reference, origin, aggregate]) = found else {
        return Ok(None);
    };
    let job: Job = from_json(&aggregate)?;
    if !job.attempt(attempt.number).is_some_and(queue::Attempt::is_open) {
        return Ok(None);
    }
    Ok(Some(Scope {
        repository,
        reference,
        job: job.name,
        origin: read(&origin)?,
    }))
}
