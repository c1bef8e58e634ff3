//! The steps, one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use api::operation::Operation;
use api::runner::task::{StepEnd, StepResult};
use api::{Cause, Secret};

use crate::context::Context;
use crate::control::Stop;
use crate::decide::{Ending, ends_job, runs};
use crate::lock;
use crate::mask::Masks;
use crate::operations::{Current, Failure, perform};
use crate::reports::Began;

/// How far the steps are. It outlives a panic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// How each step that began ended.
    pub(crate) results: Vec<StepResult>,
    /// The step that runs.
    pub(crate) running: Option<String>,
    /// Why the first step that failed did.
    pub(crate) failure: Option<Cause>,
    /// What stopped the steps before they were through.
    pub(crate) stop: Option<Stop>,
}

/// Runs the steps until they are through or stopped.
pub(crate) async fn run_steps(context: Arc<Context>, progress: Arc<Mutex<Progress>>) {
    let control = &context.supervisor.control;
    let mut may_run = false;
    let mut warning = not_masked(&context.task.secrets);
    for (number, step) in (0_u32..).zip(&context.task.steps) {
        let failed = lock(&progress).failure.is_some();
        if !runs(step.when, failed) {
            continue;
        }
        if let Some(raised) = control.current() {
            lock(&progress).stop = Some(raised.stop);
            return;
        }
        if may_run || !matches!(step.operation, Operation::Run { .. }) {
            context.reports.began(number).await;
        } else {
            // A refusal raises a stop.
            let refused = tokio::select! {
                began = context.reports.may_begin(number) => began == Began::Refused,
                _ = control.stopped() => true,
            };
            if refused {
                let raised = control.stopped().await;
                lock(&progress).stop = Some(raised.stop);
                return;
            }
            may_run = true;
        }
        lock(&progress).running = Some(step.name.clone());
        let current = Current {
            context: &context,
            number,
            step,
        };
        if let Some(warning) = warning.take() {
            context.output.say(number, &warning).await;
        }
        let start = Instant::now();
        let result = perform(current).await;
        let end = step_end(&result, start);
        context.reports.ended(number, end.clone()).await;
        let stopped = {
            let mut progress = lock(&progress);
            progress.results.push(StepResult { step: number, end });
            take(&mut progress, result)
        };
        if stopped == Stopped::Yes {
            let raised = control.stopped().await;
            lock(&progress).stop = Some(raised.stop);
            return;
        }
        let mut progress = lock(&progress);
        progress.running = None;
        if progress.failure.as_ref().is_some_and(ends_job) {
            return;
        }
    }
}

/// Names the secrets that the log will show; none where it shows none.
fn not_masked(secrets: &BTreeMap<String, Secret>) -> Option<String> {
    let shown = |(_, value): &(&String, &Secret)| !value.is_empty() && !Masks::cover(value.expose());
    let names: Vec<String> = secrets
        .iter()
        .filter(shown)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "warning: not masked, because shorter than 4 characters, or `true` or `false`: {}\n",
            names.join(", ")
        )
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Yes,
    No,
}

/// Notes how a step ended.
fn take(progress: &mut Progress, result: Result<(), Failure>) -> Stopped {
    match result {
        Ok(()) => Stopped::No,
        Err(Failure::Failed { cause, .. }) => {
            // A failure of the infrastructure outweighs a step's: the job cannot be judged by that.
            if progress.failure.is_none() || ends_job(&cause) {
                progress.failure = Some(cause);
            }
            Stopped::No
        }
        Err(Failure::Stopped { .. }) => Stopped::Yes,
    }
}

fn step_end(result: &Result<(), Failure>, start: Instant) -> StepEnd {
    let ending = match result {
        Ok(()) => Ending::SUCCESS,
        Err(Failure::Failed { ending, .. } | Failure::Stopped { ending }) => *ending,
    };
    StepEnd {
        exit_code: ending.exit_code,
        signal: ending.signal,
        duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
