//! Running a pipeline's commit again: a new pipeline, which stands by itself.

use api::{Outcome, PipelineId};
use queue::Job;
use rusqlite::{OptionalExtension, params};

use super::change::Change;
use super::column::from_json;
use super::pipelines::State;
use super::{audit, origin, pipelines};
use crate::error::StoreError;
use crate::input::{Again, NewPipeline, Rerun};

/// Makes a pipeline of the same commit as another one.
pub(crate) fn rerun(
    change: &mut Change<'_>,
    id: &PipelineId,
    again: Again,
    actor: &str,
) -> Result<Rerun, StoreError> {
    let Some(found) = pipelines::find(change.sql, id)? else {
        return Ok(Rerun::NotFound);
    };
    if found.state != State::Ended {
        return Ok(Rerun::NotEnded);
    }
    let Some(mut new) = same_commit(change, found.number, actor)? else {
        return Ok(Rerun::NotFound);
    };
    if again == Again::Unsuccessful {
        match unsuccessful(change, found.number)? {
            Unsuccessful::NoJobs => {}
            Unsuccessful::Jobs(jobs) if jobs.is_empty() => return Ok(Rerun::NothingToDo),
            Unsuccessful::Jobs(jobs) => new.jobs = jobs,
        }
    }
    let jobs = if new.jobs.is_empty() {
        "all jobs".to_owned()
    } else {
        new.jobs.join(", ")
    };
    let made = pipelines::create(change, &new)?;
    audit::write(
        change,
        actor,
        "pipeline.rerun",
        id.as_str(),
        &format!("as {made}: {jobs}"),
    )?;
    Ok(Rerun::Started(made))
}

fn same_commit(change: &Change<'_>, number: i64, actor: &str) -> Result<Option<NewPipeline>, StoreError> {
    let found: Option<[String; 5]> = change
        .sql
        .prepare_cached(
            "SELECT repository, commit_id, reference, wanted_jobs, origin FROM pipelines WHERE number = ?1",
        )?
        .query_row([number], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        })
        .optional()?;
    let Some([repository, commit, reference, jobs, origin]) = found else {
        return Ok(None);
    };
    Ok(Some(NewPipeline {
        repository,
        commit,
        reference,
        jobs: from_json(&jobs)?,
        // A fork's commit stays one, whoever wants to see it again: it gets no secrets.
        origin: origin::read(&origin)?,
        actor: actor.to_owned(),
    }))
}

/// What of a pipeline did not succeed.
enum Unsuccessful {
    /// It never had a plan, so that all of it is to be tried again.
    NoJobs,
    /// These of its jobs.
    Jobs(Vec<String>),
}

fn unsuccessful(change: &Change<'_>, number: i64) -> Result<Unsuccessful, StoreError> {
    let mut statement = change
        .sql
        .prepare_cached("SELECT aggregate FROM jobs WHERE pipeline = ?1 ORDER BY position")?;
    let mut rows = statement.query(params![number])?;
    let mut any = false;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        any = true;
        let job: Job = from_json(&row.get::<_, String>(0)?)?;
        if job
            .ended()
            .is_none_or(|ended| ended.outcome != Outcome::Succeeded)
        {
            names.push(job.name);
        }
    }
    Ok(if any {
        Unsuccessful::Jobs(names)
    } else {
        Unsuccessful::NoJobs
    })
}
