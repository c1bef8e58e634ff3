//! Pipelines as people see them.

use api::people::{AttemptView, JobView, PipelineSummary, PipelineView, StepView};
use api::runner::task::StepEnd;
use api::{AttemptRef, PipelineId, TaskId};
use queue::{Attempt, Job, JobState};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::column::{from_json, from_json_option};
use super::retention::NOT_LEAVING;
use super::{artifacts, events, pipelines};
use crate::error::StoreError;
use crate::input::Which;

const SUMMARY: &str =
    "SELECT id, repository, commit_id, reference, created, outcome, cause, number, logs_removed,
     artifacts_removed FROM pipelines";

fn summary(row: &Row<'_>) -> Result<PipelineSummary, StoreError> {
    let outcome: Option<String> = row.get(5)?;
    let cause: Option<String> = row.get(6)?;
    Ok(PipelineSummary {
        id: pipelines::id_from(row.get(0)?)?,
        repository: row.get(1)?,
        commit: row.get(2)?,
        reference: row.get(3)?,
        created: row.get(4)?,
        outcome: from_json_option(outcome.as_deref())?,
        cause: from_json_option(cause.as_deref())?,
        logs_removed: row.get(8)?,
        artifacts_removed: row.get(9)?,
    })
}

/// The newest pipelines of those that are asked for, newest first.
pub(crate) fn pipelines(
    sql: &Connection,
    which: &Which,
    limit: u32,
) -> Result<Vec<PipelineSummary>, StoreError> {
    // Only what is asked for is in the query, so that it finds its index.
    let mut wanted = vec![NOT_LEAVING];
    let mut values: Vec<&str> = Vec::new();
    for (value, condition) in [
        // An id is ASCII, so that whatever begins with the prefix is before this.
        (&which.prefix, "id >= ? AND id < (? || x'7f')"),
        (&which.commit, "commit_id = ?"),
        (&which.repository, "repository = ? COLLATE NOCASE"),
    ] {
        if let Some(value) = value {
            wanted.push(condition);
            values.extend(std::iter::repeat_n(
                value.as_str(),
                condition.matches('?').count(),
            ));
        }
    }
    let conditions = wanted.join(" AND ");
    let mut statement = sql.prepare_cached(&format!(
        "{SUMMARY} WHERE {conditions} ORDER BY number DESC LIMIT {limit}"
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(summary(row)?);
    }
    Ok(found)
}

/// The pipeline that a task belongs to.
pub(crate) fn pipeline_of(sql: &Connection, task: &TaskId) -> Result<Option<PipelineId>, StoreError> {
    let id: Option<String> = sql
        .prepare_cached(&format!(
            "SELECT pipelines.id FROM jobs JOIN pipelines ON pipelines.number = jobs.pipeline
             WHERE jobs.task = ?1 AND {NOT_LEAVING}"
        ))?
        .query_row([task.as_str()], |row| row.get(0))
        .optional()?;
    id.map(pipelines::id_from).transpose()
}

/// A pipeline with its jobs.
pub(crate) fn pipeline(sql: &Connection, id: &PipelineId) -> Result<Option<PipelineView>, StoreError> {
    let found = sql
        .prepare_cached(&format!("{SUMMARY} WHERE id = ?1 AND {NOT_LEAVING}"))?
        .query_row([id.as_str()], |row| Ok((row.get::<_, i64>(7)?, summary(row))))
        .optional()?;
    let Some((number, summary)) = found else {
        return Ok(None);
    };
    let mut statement =
        sql.prepare_cached("SELECT aggregate, step_names FROM jobs WHERE pipeline = ?1 ORDER BY position")?;
    let mut rows = statement.query([number])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let aggregate: String = row.get(0)?;
        let step_names: String = row.get(1)?;
        jobs.push(job(
            sql,
            &from_json(&aggregate)?,
            &from_json::<Vec<String>>(&step_names)?,
        )?);
    }
    Ok(Some(PipelineView {
        summary: summary?,
        jobs,
    }))
}

fn job(sql: &Connection, job: &Job, step_names: &[String]) -> Result<JobView, StoreError> {
    let ended = job.ended();
    let cause = ended.and_then(|ended| ended.cause.clone());
    let because = ended.and_then(|ended| ended.because.as_ref());
    let sentence = match (&cause, because) {
        (Some(cause), _) => Some(cause.sentence()),
        (None, Some(need)) => Some(format!("skipped, because `{need}` did not end as required")),
        (None, None) => None,
    };
    let mut attempts = Vec::new();
    for one in &job.attempts {
        attempts.push(attempt(sql, job, one, step_names)?);
    }
    Ok(JobView {
        task: job.task.clone(),
        name: job.name.clone(),
        requires: job.needs.iter().map(|need| need.job.clone()).collect(),
        state: state(job).to_owned(),
        outcome: ended.map(|ended| ended.outcome),
        cause,
        sentence,
        attempts,
        artifacts: artifacts::of_job(sql, &job.task)?,
    })
}

fn state(job: &Job) -> &'static str {
    match &job.state {
        JobState::Blocked => "blocked",
        JobState::Queued { .. } => "queued",
        JobState::Running => "running",
        JobState::Ended(ended) => ended.outcome.word(),
    }
}

fn attempt(
    sql: &Connection,
    job: &Job,
    attempt: &Attempt,
    step_names: &[String],
) -> Result<AttemptView, StoreError> {
    let key = params![job.task.as_str(), attempt.number];
    let (row, lost_bytes): (i64, u64) = sql
        .prepare_cached("SELECT row, lost FROM attempts WHERE task = ?1 AND number = ?2")?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut statement =
        sql.prepare_cached("SELECT step, ended FROM steps WHERE attempt = ?1 ORDER BY step")?;
    let mut rows = statement.query([row])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let step = row.get(0)?;
        let end: Option<String> = row.get(1)?;
        steps.push(StepView {
            step,
            name: events::step_name(step_names.iter().map(String::as_str), step),
            end: from_json_option::<StepEnd>(end.as_deref())?,
        });
    }
    let closed = attempt.closed.as_ref();
    Ok(AttemptView {
        attempt: AttemptRef::new(job.task.clone(), attempt.number),
        agent: attempt.holder.agent.to_string(),
        phase: attempt.phase,
        outcome: closed.map(|closed| closed.outcome),
        cause: closed.and_then(|closed| closed.cause.clone()),
        steps,
        lost_bytes,
    })
}
