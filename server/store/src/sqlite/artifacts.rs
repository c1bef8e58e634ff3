//! Artifacts' names, sizes and checksums. Their bytes are the server's.

use api::people::ArtifactView;
use api::{AttemptRef, InstanceId, TaskId};
use queue::{Call, Refusal};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change::Change;
use super::column::clamped;
use super::output::Stored;
use super::{audit, jobs};
use crate::error::StoreError;

/// Notes an artifact where the rules allow it.
pub(crate) fn add(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    instance: Option<InstanceId>,
    name: &str,
    size: u64,
    sha256: &str,
) -> Result<Result<(), Refusal>, StoreError> {
    if let Err(refusal) = jobs::call(change, attempt, Call::Upload { instance }, "")? {
        return Ok(Err(refusal));
    }
    let Some(stored) = Stored::of(change.sql, attempt)? else {
        return Ok(Err(Refusal::NotFound));
    };
    if let Some(other) = in_the_way(change.sql, stored.row, name)? {
        let sentence = format!(
            "an artifact cannot be called `{name}` beside `{other}`: one name cannot be a file and a folder"
        );
        return Ok(Err(Refusal::Conflict(sentence)));
    }
    let changed = change
        .sql
        .prepare_cached(
            "INSERT INTO artifacts (attempt, name, size, sha256) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET size = ?3, sha256 = ?4 WHERE size <> ?3 OR sha256 <> ?4",
        )?
        .execute(params![stored.row, name, clamped(size), sha256])?;
    if changed > 0 {
        let detail = format!("{name}, {size} bytes, sha256 {sha256}");
        audit::write(
            change,
            &format!("task {attempt}"),
            "artifact.stored",
            &attempt.to_string(),
            &detail,
        )?;
    }
    Ok(Ok(()))
}

/// An artifact of the attempt that is a file where this name needs a folder, or lies in a folder of this name.
/// Written out, the two could not lie beside each other.
fn in_the_way(sql: &Connection, attempt: i64, name: &str) -> Result<Option<String>, StoreError> {
    let mut exact = sql.prepare_cached("SELECT name FROM artifacts WHERE attempt = ?1 AND name = ?2")?;
    for (slash, _) in name.match_indices('/') {
        let folder = name.get(..slash).unwrap_or(name);
        let found = exact
            .query_row(params![attempt, folder], |row| row.get(0))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    // `0` comes right after `/`: between the two is all that starts with `NAME/`.
    Ok(sql
        .prepare_cached(
            "SELECT name FROM artifacts WHERE attempt = ?1 AND name > ?2 || '/' AND name < ?2 || '0' LIMIT 1",
        )?
        .query_row(params![attempt, name], |row| row.get(0))
        .optional()?)
}

fn view(row: &Row<'_>) -> rusqlite::Result<ArtifactView> {
    Ok(ArtifactView {
        name: row.get(0)?,
        size: row.get(1)?,
        sha256: row.get(2)?,
    })
}

/// For `WHERE` of queries over `attempts` of task `?1`: the attempt that counts, which is the newest. What an earlier
/// one sent is kept as long as its job, and is shown nowhere: beside what the newest sent it would be no whole.
const COUNTS: &str = "task = ?1 AND number = (SELECT max(number) FROM attempts WHERE task = ?1)";

/// The artifact of this name, of the attempt that counts.
pub(crate) fn find(
    sql: &Connection,
    task: &TaskId,
    name: &str,
) -> Result<Option<(AttemptRef, ArtifactView)>, StoreError> {
    let found = sql
        .prepare_cached(&format!(
            "SELECT name, size, sha256, number FROM artifacts JOIN attempts ON attempts.row = artifacts.attempt
             WHERE {COUNTS} AND name = ?2"
        ))?
        .query_row(params![task.as_str(), name], |row| Ok((row.get(3)?, view(row)?)))
        .optional()?;
    Ok(found.map(|(number, view)| (AttemptRef::new(task.clone(), number), view)))
}

/// All artifacts of a job by name, of the attempt that counts.
pub(super) fn of_job(sql: &Connection, task: &TaskId) -> Result<Vec<ArtifactView>, StoreError> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT name, size, sha256 FROM artifacts JOIN attempts ON attempts.row = artifacts.attempt
         WHERE {COUNTS} ORDER BY name"
    ))?;
    let artifacts = statement.query_map([task.as_str()], view)?;
    Ok(artifacts.collect::<Result<_, _>>()?)
}
