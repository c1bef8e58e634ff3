//! What comes of an event, told: events for followers, entries of the audit log, and what follows for the
//! pipeline.

use std::sync::Arc;

use api::people::EventKind;
use api::{AttemptRef, Cause, Outcome, PipelineId};
use queue::{Effect, Job, Settled};

use super::change::Change;
use super::memory::{Fixed, KeptJob};
use super::{audit, events, jobs, output, pipelines};
use crate::error::StoreError;

/// Whether a job of a pipeline has ended, so that others may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has: [`settle`] its pipeline.
    Yes,
    /// Not now.
    No,
}

/// Saves a job, tells what came of an event, and settles its pipeline where the job has ended.
pub(super) fn keep_and_settle(
    change: &mut Change<'_>,
    kept: KeptJob,
    found: &[Effect],
    actor: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let fixed = Arc::clone(&kept.fixed);
    match keep(change, kept, found, actor, detail)? {
        Ended::Yes => settle(change, &fixed.pipeline_id, fixed.pipeline),
        Ended::No => Ok(()),
    }
}

/// Saves a job and tells what came of an event.
pub(super) fn keep(
    change: &mut Change<'_>,
    kept: KeptJob,
    found: &[Effect],
    actor: &str,
    detail: &str,
) -> Result<Ended, StoreError> {
    let mut ended = Ended::No;
    for effect in found {
        tell(change, &kept.job, &kept.fixed, effect, actor, detail)?;
        if matches!(effect, Effect::JobEnded { .. }) {
            ended = Ended::Yes;
        }
    }
    jobs::save(change, kept)?;
    Ok(ended)
}

fn tell(
    change: &mut Change<'_>,
    job: &Job,
    fixed: &Fixed,
    effect: &Effect,
    actor: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let reference = |number: u32| AttemptRef::new(job.task.clone(), number);
    match effect {
        Effect::Phase { attempt, phase } => {
            let event = EventKind::JobPhase {
                job: job.name.clone(),
                phase: phase.to_string(),
                attempt: *attempt,
                detail: detail.to_owned(),
            };
            events::emit(change, fixed.pipeline, &event)
        }
        // The order itself is in the audit log already, and the attempt's new state wakes who waits.
        Effect::CancelOrdered { .. } => Ok(()),
        Effect::AttemptClosed {
            attempt,
            outcome,
            cause,
        } => {
            let attempt = reference(*attempt);
            output::give_up_gaps(change, &attempt)?;
            let detail = in_words(*outcome, cause.as_ref());
            audit::write(change, actor, "attempt.closed", &attempt.to_string(), &detail)
        }
        Effect::CauseTold { attempt, cause } => {
            let subject = reference(*attempt).to_string();
            audit::write(change, actor, "attempt.cause", &subject, &cause.sentence())
        }
        Effect::Requeued => {
            let number = job.attempts.last().map_or(0, |attempt| attempt.number);
            let subject = reference(number).to_string();
            audit::write(change, actor, "attempt.requeued", &subject, "")?;
            queued(change, job, fixed)
        }
        Effect::JobEnded { outcome, cause } => finished(change, job, fixed, *outcome, cause.clone()),
    }
}

fn in_words(outcome: Outcome, cause: Option<&Cause>) -> String {
    cause.map_or_else(
        || outcome.to_string(),
        |cause| format!("{outcome}: {}", cause.sentence()),
    )
}

fn queued(change: &mut Change<'_>, job: &Job, fixed: &Fixed) -> Result<(), StoreError> {
    let event = EventKind::JobPhase {
        job: job.name.clone(),
        phase: "queued".to_owned(),
        attempt: job.attempts.last().map_or(0, |attempt| attempt.number),
        detail: String::new(),
    };
    events::emit(change, fixed.pipeline, &event)
}

fn finished(
    change: &mut Change<'_>,
    job: &Job,
    fixed: &Fixed,
    outcome: Outcome,
    cause: Option<Cause>,
) -> Result<(), StoreError> {
    let first = job.attempts.first();
    let event = EventKind::JobFinished {
        job: job.name.clone(),
        outcome,
        cause,
        because: job.ended().and_then(|ended| ended.because.clone()),
        duration_ms: first.map_or(0, |attempt| change.now.since(attempt.claimed_at).0),
    };
    events::emit(change, fixed.pipeline, &event)
}

/// Queues and skips what nothing holds back any more, and ends the pipeline after its last job.
pub(super) fn settle(change: &mut Change<'_>, id: &PipelineId, number: i64) -> Result<(), StoreError> {
    let Some(tasks) = change.memory.pipeline(number) else {
        return Ok(());
    };
    let mut all: Vec<KeptJob> = tasks
        .iter()
        .filter_map(|task| change.memory.jobs().get(task).cloned())
        .collect();
    let mut ruled: Vec<Job> = all.iter().map(|kept| kept.job.clone()).collect();
    let settled = queue::settle(&mut ruled, change.now);
    for (kept, job) in all.iter_mut().zip(&ruled) {
        kept.job.clone_from(job);
    }
    for what in &settled {
        let (Settled::Queued { job } | Settled::Skipped { job, .. }) = what;
        let kept = &all[*job];
        match what {
            Settled::Queued { .. } => queued(change, &kept.job, &kept.fixed)?,
            Settled::Skipped { .. } => finished(change, &kept.job, &kept.fixed, Outcome::Skipped, None)?,
        }
    }
    let outcome = queue::pipeline_outcome(&ruled);
    if outcome.is_some() {
        // From here on its jobs stay in memory only while a deadline is open.
        change.memory.set_pipeline(number, None);
    }
    for kept in all {
        jobs::save(change, kept)?;
    }
    outcome.map_or(Ok(()), |outcome| {
        pipelines::end(change, id, number, outcome, None)
    })
}
