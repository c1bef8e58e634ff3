//! The task agent's calls: the task itself, heartbeat, steps, the terminal record.

use api::people::EventKind;
use api::plan::PlannedJob;
use api::runner::presence::CancelOrder;
use api::runner::task::{FinishRequest, StepEnd, StepEvent, StepRequest};
use api::{AttemptRef, InstanceId};
use queue::{Call, Event, Refusal};
use rusqlite::params;

use super::change::Change;
use super::column::{from_json, to_json};
use super::memory::{Fixed, KeptJob};
use super::output::Stored;
use super::{effects, events, jobs};
use crate::environment;
use crate::error::StoreError;
use crate::input::FetchedTask;

/// Where steps run when the job does not say so.
const WORKING_DIRECTORY: &str = "~/project";

/// Hands out the task.
pub(crate) fn fetch(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    instance: Option<InstanceId>,
) -> Result<Result<FetchedTask, Refusal>, StoreError> {
    if let Err(refusal) = jobs::call(change, attempt, Call::Fetch { instance }, "")? {
        return Ok(Err(refusal));
    }
    let (Some(kept), Some(stored)) = (
        jobs::find(change, &attempt.task)?,
        Stored::of(change.sql, attempt)?,
    ) else {
        return Ok(Err(Refusal::NotFound));
    };
    let (plan, commit, reference): (String, String, String) = change
        .sql
        .prepare_cached(
            "SELECT jobs.plan, commit_id, reference FROM jobs JOIN pipelines ON pipelines.number = jobs.pipeline
             WHERE task = ?1",
        )?
        .query_row([attempt.task.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let plan: PlannedJob = from_json(&plan)?;
    let Some(open) = kept.job.attempt(attempt.number) else {
        return Ok(Err(Refusal::NotFound));
    };
    let mut task = FetchedTask {
        attempt: attempt.clone(),
        pipeline: kept.fixed.pipeline_id.clone(),
        job: kept.job.name.clone(),
        repository: kept.fixed.repository.clone(),
        commit,
        reference,
        steps: plan.steps,
        environment: plan.environment,
        working_directory: plan
            .working_directory
            .unwrap_or_else(|| WORKING_DIRECTORY.to_owned()),
        shell: plan.shell,
        time_limit: kept.job.time_limit,
        time_used: open.time_used(change.now),
        terms: open.terms.clone(),
        stored: stored.highest,
    };
    environment::add_built_in(&mut task);
    Ok(Ok(task))
}

/// Renews the task lease.
pub(crate) fn heartbeat(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    instance: Option<InstanceId>,
) -> Result<Result<Option<CancelOrder>, Refusal>, StoreError> {
    if let Err(refusal) = jobs::call(change, attempt, Call::Heartbeat { instance }, "")? {
        return Ok(Err(refusal));
    }
    let kept = jobs::find(change, &attempt.task)?;
    Ok(Ok(
        kept.and_then(|kept| kept.job.cancel_order(attempt.number).cloned())
    ))
}

/// A step began or ended. A repeat changes nothing.
pub(crate) fn step(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    instance: Option<InstanceId>,
    request: &StepRequest,
) -> Result<Result<(), Refusal>, StoreError> {
    let (Some(kept), Some(stored)) = (
        jobs::find(change, &attempt.task)?,
        Stored::of(change.sql, attempt)?,
    ) else {
        return Ok(Err(Refusal::NotFound));
    };
    let place = usize::try_from(request.step).unwrap_or(usize::MAX);
    let Some(step) = kept.fixed.steps.get(place) else {
        return Ok(Err(Refusal::Invalid(format!(
            "the job has no step {}",
            request.step
        ))));
    };
    let call = match request.event {
        StepEvent::Began => Call::StepBegan {
            instance,
            kind: step.kind,
        },
        StepEvent::Ended(_) => Call::StepEnded { instance },
    };
    if let Err(refusal) = jobs::call(change, attempt, call, "")? {
        return Ok(Err(refusal));
    }
    began(change, &kept, &stored, request.step)?;
    if let StepEvent::Ended(end) = &request.event {
        ended(change, &kept, &stored, request.step, end)?;
    }
    Ok(Ok(()))
}

/// Takes the terminal record. Steps whose end was not told before are told by it.
pub(crate) fn finish(
    change: &mut Change<'_>,
    attempt: &AttemptRef,
    instance: Option<InstanceId>,
    request: &FinishRequest,
) -> Result<Result<(), Refusal>, StoreError> {
    let (Some(mut kept), Some(stored)) = (
        jobs::find(change, &attempt.task)?,
        Stored::of(change.sql, attempt)?,
    ) else {
        return Ok(Err(Refusal::NotFound));
    };
    let call = Call::Finish {
        instance,
        record: request.clone(),
        stored: stored.highest,
    };
    let event = Event::Call {
        attempt: attempt.number,
        call,
    };
    match kept.job.apply(event, change.now) {
        Ok(found) => {
            for result in &request.steps {
                began(change, &kept, &stored, result.step)?;
                ended(change, &kept, &stored, result.step, &result.end)?;
            }
            effects::keep_and_settle(change, kept, &found, &format!("task {attempt}"), "")?;
            Ok(Ok(()))
        }
        Err(refusal) => {
            jobs::save(change, kept)?;
            Ok(Err(refusal))
        }
    }
}

fn began(change: &mut Change<'_>, kept: &KeptJob, stored: &Stored, step: u32) -> Result<(), StoreError> {
    let added = change
        .sql
        .prepare_cached("INSERT INTO steps (attempt, step) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![stored.row, step])?;
    if added == 0 {
        return Ok(());
    }
    let event = EventKind::StepStarted {
        job: kept.job.name.clone(),
        step: name(&kept.fixed, step),
    };
    events::emit(change, stored.pipeline, &event)
}

fn ended(
    change: &mut Change<'_>,
    kept: &KeptJob,
    stored: &Stored,
    step: u32,
    end: &StepEnd,
) -> Result<(), StoreError> {
    let changed = change
        .sql
        .prepare_cached("UPDATE steps SET ended = ?3 WHERE attempt = ?1 AND step = ?2 AND ended IS NULL")?
        .execute(params![stored.row, step, to_json(end)?])?;
    if changed == 0 {
        return Ok(());
    }
    let event = EventKind::StepFinished {
        job: kept.job.name.clone(),
        step: name(&kept.fixed, step),
        exit_code: end.exit_code,
        duration_ms: end.duration_ms,
    };
    events::emit(change, stored.pipeline, &event)
}

fn name(fixed: &Fixed, step: u32) -> String {
    let names = fixed.steps.iter().map(|step| step.name.as_str());
    events::step_name(names, step)
}
