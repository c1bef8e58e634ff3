//! Jobs: loaded, given to the rules, saved with what came of it.

use std::sync::Arc;

use api::operation::Operation;
use api::plan::PlannedJob;
use api::runner::presence::CancelOrder;
use api::{AttemptRef, PipelineId, Plan, TaskId};
use queue::{Call, Event, Job, JobDefaults, Refusal, Reporter, StepKind, Time};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change::Change;
use super::column::{from_json, to_json};
use super::memory::{Fixed, FixedStep, KeptJob, Memory};
use super::{effects, pipelines, statuses};
use crate::error::StoreError;

/// A job's columns, as [`kept`] reads them.
const COLUMNS: &str =
    "SELECT jobs.aggregate, jobs.plan, jobs.position, jobs.pipeline, pipelines.id, pipelines.repository
     FROM jobs JOIN pipelines ON pipelines.number = jobs.pipeline";

fn kept(row: &Row<'_>) -> Result<KeptJob, StoreError> {
    let stored: String = row.get(0)?;
    let plan: String = row.get(1)?;
    let job: Job = from_json(&stored)?;
    Ok(KeptJob {
        // Written together with the job.
        told: Some(job.commit_status()),
        job,
        fixed: Arc::new(fixed(
            &from_json(&plan)?,
            row.get(2)?,
            row.get(3)?,
            pipelines::id_from(row.get(4)?)?,
            row.get(5)?,
        )),
        stored: stored.into(),
    })
}

fn fixed(
    plan: &PlannedJob,
    position: i64,
    pipeline: i64,
    pipeline_id: PipelineId,
    repository: String,
) -> Fixed {
    let kind = |operation: &Operation| match operation {
        Operation::Run { .. } => StepKind::Run,
        _ => StepKind::Other,
    };
    let step = |step: &api::operation::Step| FixedStep {
        name: step.name.clone(),
        kind: kind(&step.operation),
    };
    Fixed {
        pipeline,
        pipeline_id,
        repository,
        position,
        has_services: !plan.services.is_empty(),
        steps: plan.steps.iter().map(step).collect(),
    }
}

/// Loads at the start what has not ended. Leases get a full term.
pub(super) fn load_active(sql: &Connection, memory: &mut Memory, now: Time) -> Result<(), StoreError> {
    let mut statement = sql.prepare(&format!("{COLUMNS} WHERE jobs.active = 1"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut job = kept(row)?;
        job.job.after_restart(now);
        memory.set_job(job.job.task.clone(), Some(job));
    }
    let mut statement = sql.prepare(
        "SELECT pipeline, task FROM jobs JOIN pipelines ON pipelines.number = jobs.pipeline
         WHERE pipelines.state = 'running' ORDER BY pipeline, position",
    )?;
    let mut rows = statement.query([])?;
    let mut running: Vec<(i64, Vec<TaskId>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (pipeline, task) = (row.get(0)?, task_from(row.get(1)?)?);
        match running.last_mut() {
            Some((number, tasks)) if *number == pipeline => tasks.push(task),
            _ => running.push((pipeline, vec![task])),
        }
    }
    for (pipeline, tasks) in running {
        memory.set_pipeline(pipeline, Some(tasks.into()));
    }
    Ok(())
}

fn task_from(text: String) -> Result<TaskId, StoreError> {
    TaskId::new(text).map_err(|error| StoreError::unreadable("a task id", error))
}

/// A job from memory, or from the file where it has ended.
pub(super) fn find(change: &Change<'_>, task: &TaskId) -> Result<Option<KeptJob>, StoreError> {
    if let Some(job) = change.memory.jobs().get(task) {
        return Ok(Some(job.clone()));
    }
    let found = change
        .sql
        .prepare_cached(&format!("{COLUMNS} WHERE jobs.task = ?1"))?
        .query_row([task.as_str()], |row| Ok(kept(row)))
        .optional()?;
    found.transpose()
}

/// Saves a job: to the file where more than its lease changed, with what the provider is to be told then, and
/// to memory while something can happen to it.
pub(super) fn save(change: &mut Change<'_>, mut kept: KeptJob) -> Result<(), StoreError> {
    let task = kept.job.task.clone();
    let active = change.memory.pipeline(kept.fixed.pipeline).is_some() || kept.job.deadline().is_some();
    let json = to_json(&kept.job)?;
    if *kept.stored != *json || active != change.memory.jobs().contains_key(&task) {
        change
            .sql
            .prepare_cached("UPDATE jobs SET aggregate = ?2, active = ?3 WHERE task = ?1")?
            .execute(params![task.as_str(), json, active])?;
        kept.stored = json.into();
    }
    let status = kept.job.commit_status();
    if kept.told.as_ref() != Some(&status) {
        statuses::of_job(change, &kept.fixed, &kept.job.name, &status)?;
        kept.told = Some(status);
    }
    change.memory.set_job(task, active.then_some(kept));
    Ok(())
}

/// Gives a call about an attempt to the rules and keeps what came of it. `detail` is for people.
pub(super) fn call(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    call: Call,
    detail: &str,
) -> Result<Result<(), Refusal>, StoreError> {
    let Some(kept) = find(change, &attempt.task)? else {
        return Ok(Err(Refusal::NotFound));
    };
    let actor = actor(&call, attempt);
    let event = Event::Call {
        attempt: attempt.number,
        call,
    };
    apply(change, kept, event, &actor, detail)
}

/// Gives an event to the rules and keeps what came of it.
pub(super) fn apply(
    change: &mut Change<'_>,
    mut kept: KeptJob,
    event: Event,
    actor: &str,
    detail: &str,
) -> Result<Result<(), Refusal>, StoreError> {
    match kept.job.apply(event, change.now) {
        Ok(found) => {
            effects::keep_and_settle(change, kept, &found, actor, detail)?;
            Ok(Ok(()))
        }
        Err(refusal) => {
            // A refused call may have renewed the lease.
            save(change, kept)?;
            Ok(Err(refusal))
        }
    }
}

/// Who makes a call, for the audit log.
fn actor(call: &Call, attempt: &AttemptRef) -> String {
    match call {
        Call::Unclaim { by, .. }
        | Call::Fail { by, .. }
        | Call::Phase { by, .. }
        | Call::Cause { by, .. } => match by {
            Reporter::Agent { holder, .. } => format!("agent {}", holder.agent),
            Reporter::Place { .. } => format!("task {attempt}"),
        },
        _ => format!("task {attempt}"),
    }
}

/// Makes a pipeline's jobs and queues what is ready.
pub(super) fn plan(
    change: &mut Change<'_>,
    id: &PipelineId,
    number: i64,
    plan: &Plan,
) -> Result<(), StoreError> {
    sound(plan)?;
    let defaults = JobDefaults {
        resource_class: change.settings.default_resource_class.clone(),
        time_limit: change.settings.default_time_limit,
    };
    let mut tasks = Vec::new();
    let mut jobs = Vec::new();
    for (position, planned) in (1_i64..).zip(&plan.jobs) {
        let task = task_from(format!("{id}-{position}"))?;
        let job = Job::planned(task.clone(), planned, &defaults);
        let pipeline: String = change
            .sql
            .prepare_cached("SELECT repository FROM pipelines WHERE number = ?1")?
            .query_row([number], |row| row.get(0))?;
        let fixed = fixed(planned, position, number, id.clone(), pipeline);
        insert(change, &job, planned, &fixed)?;
        tasks.push(task);
        jobs.push(KeptJob {
            stored: to_json(&job)?.into(),
            told: None,
            job,
            fixed: Arc::new(fixed),
        });
    }
    change.memory.set_pipeline(number, Some(tasks.into()));
    for job in jobs {
        change.memory.set_job(job.job.task.clone(), Some(job));
    }
    effects::settle(change, id, number)
}

fn insert(change: &Change<'_>, job: &Job, planned: &PlannedJob, fixed: &Fixed) -> Result<(), StoreError> {
    let names: Vec<&str> = planned.steps.iter().map(|step| step.name.as_str()).collect();
    change
        .sql
        .prepare_cached(
            "INSERT INTO jobs (task, pipeline, position, name, plan, step_names, active, aggregate)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)",
        )?
        .execute(params![
            job.task.as_str(),
            fixed.pipeline,
            fixed.position,
            job.name,
            to_json(planned)?,
            to_json(&names)?,
            to_json(job)?
        ])?;
    Ok(())
}

/// Refuses a plan that would never end: a doubled name, an unknown need, a cycle.
fn sound(plan: &Plan) -> Result<(), StoreError> {
    let mut ready: Vec<&str> = Vec::new();
    let mut waiting: Vec<&PlannedJob> = plan.jobs.iter().collect();
    loop {
        let before = waiting.len();
        let is_ready = |job: &&PlannedJob| job.needs.iter().all(|need| ready.contains(&need.job.as_str()));
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        for job in now {
            if ready.contains(&job.name.as_str()) {
                return Err(StoreError::Plan(format!("two jobs are named `{}`", job.name)));
            }
            ready.push(&job.name);
        }
        waiting = later;
        match waiting.first() {
            None => return Ok(()),
            Some(job) if waiting.len() == before => {
                let text = format!(
                    "job `{}` waits for itself or for a job that is not there",
                    job.name
                );
                return Err(StoreError::Plan(text));
            }
            Some(_) => {}
        }
    }
}

/// Cancels a job; one that has ended stays as it is.
pub(super) fn cancel(change: &mut Change<'_>, kept: KeptJob, order: &CancelOrder) -> Result<(), StoreError> {
    let fixed = Arc::clone(&kept.fixed);
    cancel_one(change, kept, order)?;
    effects::settle(change, &fixed.pipeline_id, fixed.pipeline)
}

/// Cancels all jobs of a pipeline, so that none is queued because another one ended.
pub(super) fn cancel_all(
    change: &mut Change<'_>,
    id: &PipelineId,
    pipeline: i64,
    order: &CancelOrder,
) -> Result<(), StoreError> {
    let tasks = change.memory.pipeline(pipeline).unwrap_or_default();
    for task in tasks.iter() {
        if let Some(kept) = change.memory.jobs().get(task).cloned() {
            cancel_one(change, kept, order)?;
        }
    }
    effects::settle(change, id, pipeline)
}

fn cancel_one(change: &mut Change<'_>, mut kept: KeptJob, order: &CancelOrder) -> Result<(), StoreError> {
    // A job that has ended may refuse, and that is as well.
    match kept.job.apply(Event::Cancel(order.clone()), change.now) {
        Ok(found) => effects::keep(change, kept, &found, &order.by, &order.why).map(drop),
        Err(_) => Ok(()),
    }
}
