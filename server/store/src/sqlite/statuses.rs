//! The outbox of commit statuses: what a Git provider is to be told, written with what it tells of.
//!
//! A provider shows the last status of a commit and context that it was sent, so one row is kept for each: the
//! newest. What was never sent and is not true any more is written over, and nothing older can follow it.

use api::{Cause, PipelineId};
use queue::{CommitStatus, StatusState};
use rusqlite::{Connection, OptionalExtension, params};

use super::change::Change;
use super::column::to_json;
use super::memory::Fixed;
use super::{audit, pipelines};
use crate::error::StoreError;
use crate::input::UnsentStatus;

/// The context of what is about a whole pipeline; that of a job is under it.
const CONTEXT: &str = "goatherd";

/// How long after it was written a status that the provider refused is tried again by a new start of the
/// server: the operator may have mended what was wrong, and older commits interest nobody.
const FRESH: u64 = 24 * 60 * 60 * 1000;

const fn word(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending => "pending",
        StatusState::Success => "success",
        StatusState::Failure => "failure",
        StatusState::Error => "error",
    }
}

fn state_of(word: &str) -> Result<StatusState, StoreError> {
    match word {
        "pending" => Ok(StatusState::Pending),
        "success" => Ok(StatusState::Success),
        "failure" => Ok(StatusState::Failure),
        "error" => Ok(StatusState::Error),
        other => Err(StoreError::unreadable("a status's state", other)),
    }
}

/// Says what is to be told of a job.
pub(super) fn of_job(
    change: &mut Change<'_>,
    fixed: &Fixed,
    job: &str,
    status: &CommitStatus,
) -> Result<(), StoreError> {
    // A provider may take two contexts that differ in case for one.
    let doubled: bool = change
        .sql
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE pipeline = ?1 AND position < ?2 AND name = ?3 COLLATE NOCASE)",
        )?
        .query_row(params![fixed.pipeline, fixed.position, job], |row| row.get(0))?;
    let context = if doubled {
        format!("{CONTEXT}/{job} ({})", fixed.position)
    } else {
        format!("{CONTEXT}/{job}")
    };
    tell(change, fixed.pipeline, &context, status)
}

/// Says that a pipeline has no plan.
pub(super) fn of_unplanned(change: &mut Change<'_>, pipeline: i64, cause: &Cause) -> Result<(), StoreError> {
    tell(change, pipeline, CONTEXT, &CommitStatus::unplanned(cause))
}

/// Says that a pipeline has a plan, where nothing else would: it has no jobs, or an earlier pipeline of the
/// same commit had no plan and the provider shows that.
pub(super) fn of_planned(change: &mut Change<'_>, pipeline: i64, jobs: usize) -> Result<(), StoreError> {
    let shown: Option<i64> = change
        .sql
        .prepare_cached(
            "SELECT 1 FROM statuses JOIN pipelines USING (repository, commit_id)
             WHERE pipelines.number = ?1 AND context = ?2",
        )?
        .query_row(params![pipeline, CONTEXT], |row| row.get(0))
        .optional()?;
    let status = match (jobs, shown) {
        (0, _) => CommitStatus::new(StatusState::Success, "no job is to be run"),
        (_, Some(_)) => CommitStatus::new(StatusState::Success, "the config was read"),
        (_, None) => return Ok(()),
    };
    tell(change, pipeline, CONTEXT, &status)
}

/// Writes a status over the one before. Of two pipelines of one commit the newer one counts.
fn tell(
    change: &mut Change<'_>,
    pipeline: i64,
    context: &str,
    status: &CommitStatus,
) -> Result<(), StoreError> {
    let repository: String = change
        .sql
        .prepare_cached("SELECT repository FROM pipelines WHERE number = ?1")?
        .query_row([pipeline], |row| row.get(0))?;
    let what = params![
        pipeline,
        context,
        word(status.state),
        status.description,
        change.now.0
    ];
    let write = if change.settings.status_repositories.contains(&repository) {
        "INSERT INTO statuses (repository, commit_id, context, pipeline, state, description, version, changed)
         SELECT repository, commit_id, ?2, number, ?3, ?4, 1, ?5 FROM pipelines WHERE number = ?1
         ON CONFLICT (repository, commit_id, context) DO UPDATE SET pipeline = excluded.pipeline,
             state = excluded.state, description = excluded.description, version = version + 1,
             changed = excluded.changed, refused = NULL
         WHERE pipeline <= excluded.pipeline"
    } else {
        // What was told before the operator took the token away stays true, should it come back.
        "UPDATE statuses SET pipeline = ?1, state = ?3, description = ?4, version = version + 1, changed = ?5,
             refused = NULL
         FROM (SELECT repository, commit_id FROM pipelines WHERE number = ?1) AS one
         WHERE statuses.repository = one.repository AND statuses.commit_id = one.commit_id
             AND context = ?2 AND pipeline <= ?1"
    };
    change.sql.prepare_cached(write)?.execute(what)?;
    Ok(())
}

/// Lets what was refused lately be tried again: at a start.
pub(super) fn forget_refusals(sql: &Connection, now: queue::Time) -> Result<(), StoreError> {
    sql.execute(
        "UPDATE statuses SET refused = NULL WHERE refused IS NOT NULL AND changed > ?1",
        [now.0.saturating_sub(FRESH)],
    )?;
    Ok(())
}

/// What these repositories' providers are to be told, but for `except`: first the oldest of each repository, then
/// the second of each, and in each repository first the oldest of each commit. So however many wait of one
/// repository or commit, the others are in what is read.
pub(crate) fn unsent(
    sql: &Connection,
    repositories: &[String],
    except: &[i64],
    limit: u32,
) -> Result<Vec<UnsentStatus>, StoreError> {
    let mut statement = sql.prepare_cached(
        "WITH waiting AS (
             SELECT number, repository, changed, row_number() OVER (
                 PARTITION BY repository, commit_id ORDER BY changed, number) AS of_commit
             FROM statuses
             WHERE sent < version AND refused IS NULL
                 AND repository IN (SELECT value FROM json_each(?1))
                 AND number NOT IN (SELECT value FROM json_each(?2))),
         turns AS (
             SELECT number, row_number() OVER (
                 PARTITION BY repository ORDER BY of_commit, changed, number) AS turn
             FROM waiting)
         SELECT statuses.number, version, pipelines.id, statuses.repository, statuses.commit_id, context,
             statuses.state, description
         FROM turns JOIN statuses USING (number) JOIN pipelines ON pipelines.number = statuses.pipeline
         ORDER BY turn, changed, statuses.number LIMIT ?3",
    )?;
    let mut rows = statement.query(params![to_json(&repositories)?, to_json(&except)?, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let state: String = row.get(6)?;
        found.push(UnsentStatus {
            number: row.get(0)?,
            version: row.get(1)?,
            pipeline: pipelines::id_from(row.get(2)?)?,
            repository: row.get(3)?,
            commit: row.get(4)?,
            context: row.get(5)?,
            status: CommitStatus::new(state_of(&state)?, row.get::<_, String>(7)?),
        });
    }
    Ok(found)
}

/// The provider has it. A newer version that came meanwhile is still to be sent.
pub(crate) fn sent(change: &mut Change<'_>, status: &UnsentStatus) -> Result<(), StoreError> {
    change
        .sql
        .prepare_cached("UPDATE statuses SET sent = ?2 WHERE number = ?1 AND sent < ?2")?
        .execute(params![status.number, status.version])?;
    Ok(())
}

/// The provider will not have it. It is not sent again, unless it changes or the server starts again.
pub(crate) fn refused(change: &mut Change<'_>, status: &UnsentStatus, why: &str) -> Result<(), StoreError> {
    let changed = change
        .sql
        .prepare_cached("UPDATE statuses SET refused = ?3 WHERE number = ?1 AND version = ?2 AND sent < ?2")?
        .execute(params![status.number, status.version, why])?;
    if changed == 0 {
        return Ok(());
    }
    let detail = format!("{} {}: {why}", status.context, word(status.status.state));
    audit::write(
        change,
        "server",
        "status.refused",
        PipelineId::as_str(&status.pipeline),
        &detail,
    )
}
