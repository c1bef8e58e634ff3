//! Jobs that wait for other jobs, and how all of them together ended.

use api::plan::Need;
use api::{Outcome, PipelineOutcome};

use crate::job::{Ended, Job, JobState};
use crate::time::Time;

/// What became of a job that waited for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It waits for an agent now.
    Queued {
        /// Its place in the slice.
        job: usize,
    },
    /// It will never run.
    Skipped {
        /// Its place in the slice.
        job: usize,
        /// The need that did not end as required.
        because: String,
    },
}

/// Queues or skips the jobs of one pipeline that nothing holds back any more. Call it when the pipeline gets its
/// plan and whenever one of its jobs ends; a second call changes nothing.
///
/// A job is skipped as soon as one need has ended otherwise than required: it does not wait for the others.
pub fn settle(jobs: &mut [Job], now: Time) -> Vec<Settled> {
    let mut settled = Vec::new();
    while let Some((job, verdict)) = next(jobs) {
        settled.push(match verdict {
            Verdict::Queue => {
                jobs[job].queue(now);
                Settled::Queued { job }
            }
            Verdict::Skip(because) => {
                jobs[job].state = JobState::Ended(Ended {
                    outcome: Outcome::Skipped,
                    cause: None,
                    because: Some(because.clone()),
                    at: now,
                });
                Settled::Skipped { job, because }
            }
        });
    }
    settled
}

enum Verdict {
    Queue,
    Skip(String),
}

fn next(jobs: &[Job]) -> Option<(usize, Verdict)> {
    let blocked = || {
        jobs.iter()
            .enumerate()
            .filter(|(_, job)| job.state == JobState::Blocked)
    };
    let ready = blocked().find_map(|(index, job)| verdict(job, jobs).map(|verdict| (index, verdict)));
    if ready.is_some() {
        return ready;
    }
    // A plan has no cycle and names no unknown job; were it wrong, its jobs would wait for ever.
    let moving = jobs
        .iter()
        .any(|job| matches!(job.state, JobState::Queued { .. } | JobState::Running));
    if moving {
        return None;
    }
    blocked().next().map(|(index, job)| {
        let because = job
            .needs
            .iter()
            .find(|need| !is_met(need, jobs))
            .map_or_else(String::new, |need| need.job.clone());
        (index, Verdict::Skip(because))
    })
}

fn verdict(job: &Job, jobs: &[Job]) -> Option<Verdict> {
    let failed = job
        .needs
        .iter()
        .find(|need| ended(&need.job, jobs).is_some() && !is_met(need, jobs));
    if let Some(need) = failed {
        return Some(Verdict::Skip(need.job.clone()));
    }
    job.needs
        .iter()
        .all(|need| is_met(need, jobs))
        .then_some(Verdict::Queue)
}

fn is_met(need: &Need, jobs: &[Job]) -> bool {
    ended(&need.job, jobs).is_some_and(|ended| need.outcomes.contains(&ended.outcome))
}

fn ended<'a>(name: &str, jobs: &'a [Job]) -> Option<&'a Ended> {
    jobs.iter().find(|job| job.name == name).and_then(Job::ended)
}

/// How a pipeline with a plan ended; none while one of its jobs has not.
///
/// The first of [`PipelineOutcome`]'s order that one of its jobs has. A skipped job counts as the need that
/// skipped it. A plan without jobs, all filtered away, succeeded.
#[must_use]
pub fn pipeline_outcome(jobs: &[Job]) -> Option<PipelineOutcome> {
    let mut outcome = PipelineOutcome::Succeeded;
    for job in jobs {
        outcome = outcome.min(counted(job.ended()?, jobs));
    }
    Some(outcome)
}

fn counted(ended_job: &Ended, jobs: &[Job]) -> PipelineOutcome {
    let mut ended_job = ended_job;
    // A chain of skipped jobs is no longer than the plan.
    for _ in 0..=jobs.len() {
        match ended_job.outcome {
            Outcome::Succeeded => return PipelineOutcome::Succeeded,
            Outcome::Failed => return PipelineOutcome::Failed,
            Outcome::TimedOut => return PipelineOutcome::TimedOut,
            Outcome::Cancelled => return PipelineOutcome::Cancelled,
            Outcome::InfraFailed => return PipelineOutcome::InfraFailed,
            Outcome::Skipped => {
                let because = ended_job.because.as_deref().and_then(|name| ended(name, jobs));
                match because {
                    Some(need) => ended_job = need,
                    None => break,
                }
            }
        }
    }
    // A need that does not exist: the plan is wrong.
    PipelineOutcome::Failed
}
