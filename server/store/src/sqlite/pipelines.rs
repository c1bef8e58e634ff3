//! Pipelines: made, given a plan, cancelled, ended.

use api::people::{Cancelled, EventKind};
use api::runner::presence::CancelOrder;
use api::{Cause, Outcome, PipelineId, PipelineOutcome, Plan, TaskId};
use rusqlite::{Connection, OptionalExtension, params};

use super::change::Change;
use super::column::{from_json, to_json};
use super::retention::NOT_LEAVING;
use super::{audit, events, jobs, origin, statuses};
use crate::error::StoreError;
use crate::input::{NewPipeline, Uncompiled};
use crate::token;

/// How far a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has no plan yet.
    Compiling,
    /// It has jobs that have not ended.
    Running,
    /// It has ended.
    Ended,
}

impl State {
    fn read(word: &str) -> Result<Self, StoreError> {
        match word {
            "compiling" => Ok(Self::Compiling),
            "running" => Ok(Self::Running),
            "ended" => Ok(Self::Ended),
            other => Err(StoreError::unreadable("a pipeline's state", other)),
        }
    }
}

/// What most operations need of a pipeline.
pub(super) struct Found {
    pub(super) number: i64,
    pub(super) state: State,
}

pub(super) fn find(sql: &Connection, id: &PipelineId) -> Result<Option<Found>, StoreError> {
    let found: Option<(i64, String)> = sql
        .prepare_cached(&format!(
            "SELECT number, state FROM pipelines WHERE id = ?1 AND {NOT_LEAVING}"
        ))?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, state)) = found else {
        return Ok(None);
    };
    let state = State::read(&state)?;
    Ok(Some(Found { number, state }))
}

fn required(sql: &Connection, id: &PipelineId) -> Result<Found, StoreError> {
    find(sql, id)?.ok_or_else(|| StoreError::NoPipeline(id.clone()))
}

/// Makes a pipeline and says so in the audit log.
pub(crate) fn create(change: &mut Change<'_>, new: &NewPipeline) -> Result<PipelineId, StoreError> {
    let random = token::random_word(10)?;
    let id = PipelineId::new(random).map_err(|error| StoreError::unreadable("a new pipeline id", error))?;
    change
        .sql
        .prepare_cached(
            "INSERT INTO pipelines (id, repository, commit_id, reference, wanted_jobs, state, created, origin)
             VALUES (?1, ?2, ?3, ?4, ?5, 'compiling', ?6, ?7)",
        )?
        .execute(params![
            id.as_str(),
            new.repository,
            new.commit,
            new.reference,
            to_json(&new.jobs)?,
            change.now.0,
            origin::word(new.origin)
        ])?;
    let detail = format!("{} {} {}", new.repository, new.reference, new.commit);
    audit::write(change, &new.actor, "pipeline.created", id.as_str(), &detail)?;
    Ok(id)
}

/// The pipelines without a plan, oldest first.
pub(crate) fn uncompiled(sql: &Connection) -> Result<Vec<Uncompiled>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT id, repository, commit_id, reference, wanted_jobs FROM pipelines
         WHERE state = 'compiling' ORDER BY number",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Uncompiled {
            pipeline: id_from(row.get(0)?)?,
            repository: row.get(1)?,
            commit: row.get(2)?,
            reference: row.get(3)?,
            jobs: from_json(&row.get::<_, String>(4)?)?,
        });
    }
    Ok(found)
}

/// An id that was stored.
pub(super) fn id_from(text: String) -> Result<PipelineId, StoreError> {
    PipelineId::new(text).map_err(|error| StoreError::unreadable("a pipeline id", error))
}

/// Gives a pipeline its plan and its jobs.
pub(crate) fn start(change: &mut Change<'_>, id: &PipelineId, plan: &Plan) -> Result<(), StoreError> {
    let found = required(change.sql, id)?;
    if found.state != State::Compiling {
        return Ok(());
    }
    change
        .sql
        .prepare_cached("UPDATE pipelines SET state = 'running' WHERE number = ?1")?
        .execute([found.number])?;
    let detail = format!("{} jobs", plan.jobs.len());
    audit::write(change, "server", "pipeline.started", id.as_str(), &detail)?;
    statuses::of_planned(change, found.number, plan.jobs.len())?;
    jobs::plan(change, id, found.number, plan)
}

/// Ends a pipeline that gets no plan.
pub(crate) fn fail(change: &mut Change<'_>, id: &PipelineId, cause: &Cause) -> Result<(), StoreError> {
    let found = required(change.sql, id)?;
    if found.state != State::Compiling {
        return Ok(());
    }
    end(change, id, found.number, unplanned(cause), Some(cause))
}

/// Cancels what of a pipeline has not ended.
pub(crate) fn cancel(
    change: &mut Change<'_>,
    id: &PipelineId,
    order: &CancelOrder,
) -> Result<Option<Cancelled<PipelineOutcome>>, StoreError> {
    let Some(found) = find(change.sql, id)? else {
        return Ok(None);
    };
    if found.state == State::Ended {
        let ended: Option<String> = change
            .sql
            .prepare_cached("SELECT outcome FROM pipelines WHERE number = ?1")?
            .query_row([found.number], |row| row.get(0))?;
        let ended = ended.as_deref().map(from_json).transpose()?;
        return Ok(Some(Cancelled { ended }));
    }
    audit::write(change, &order.by, "pipeline.cancel", id.as_str(), &order.why)?;
    if found.state == State::Compiling {
        let cause = Cause::Cancelled {
            by: order.by.clone(),
            why: order.why.clone(),
        };
        end(change, id, found.number, PipelineOutcome::Cancelled, Some(&cause))?;
    } else {
        jobs::cancel_all(change, id, found.number, order)?;
    }
    Ok(Some(Cancelled { ended: None }))
}

/// Cancels a job that has not ended. None where there is none of that id.
pub(crate) fn cancel_job(
    change: &mut Change<'_>,
    task: &TaskId,
    order: &CancelOrder,
) -> Result<Option<Cancelled<Outcome>>, StoreError> {
    let Some(kept) = jobs::find(change, task)? else {
        return Ok(None);
    };
    let ended = kept.job.ended().map(|ended| ended.outcome);
    if ended.is_none() {
        audit::write(change, &order.by, "job.cancel", task.as_str(), &order.why)?;
        jobs::cancel(change, kept, order)?;
    }
    Ok(Some(Cancelled { ended }))
}

/// How a pipeline ends that never had a plan.
fn unplanned(cause: &Cause) -> PipelineOutcome {
    match cause.outcome() {
        Outcome::Failed => PipelineOutcome::Failed,
        Outcome::Cancelled => PipelineOutcome::Cancelled,
        Outcome::TimedOut => PipelineOutcome::TimedOut,
        Outcome::Succeeded | Outcome::InfraFailed | Outcome::Skipped => PipelineOutcome::InfraFailed,
    }
}

/// Ends a pipeline: its last event. With a cause where it never had a plan.
pub(super) fn end(
    change: &mut Change<'_>,
    id: &PipelineId,
    number: i64,
    outcome: PipelineOutcome,
    cause: Option<&Cause>,
) -> Result<(), StoreError> {
    change
        .sql
        .prepare_cached(
            "UPDATE pipelines SET state = 'ended', outcome = ?2, cause = ?3, ended = ?4 WHERE number = ?1",
        )?
        .execute(params![
            number,
            to_json(&outcome)?,
            cause.map(to_json).transpose()?,
            change.now.0
        ])?;
    let detail = cause.map_or_else(
        || outcome.to_string(),
        |cause| format!("{outcome}: {}", cause.sentence()),
    );
    audit::write(change, "server", "pipeline.ended", id.as_str(), &detail)?;
    if let Some(cause) = cause {
        statuses::of_unplanned(change, number, cause)?;
    }
    let event = EventKind::PipelineFinished {
        outcome,
        cause: cause.cloned(),
    };
    events::emit(change, number, &event)
}
