//! Jobs that wait for others, and the outcome of a pipeline.

use api::{Outcome, PipelineOutcome, Terms};

use super::case::{START, holder, job, order, reach};
use crate::{Ended, Event, Job, JobState, Settled, pipeline_outcome, settle};

const GREEN: &[Outcome] = &[Outcome::Succeeded];

fn end(job: &mut Job, outcome: Outcome) {
    job.state = JobState::Ended(Ended {
        outcome,
        cause: None,
        because: None,
        at: START,
    });
}

#[test]
fn what_needs_nothing_is_queued_and_a_second_call_changes_nothing() {
    let mut jobs = [job("build", &[]), job("test", &[("build", GREEN)])];

    assert_eq!(settle(&mut jobs, START), [Settled::Queued { job: 0 }]);
    assert_eq!(settle(&mut jobs, START), []);
    assert_eq!(jobs[1].state, JobState::Blocked);
}

#[test]
fn a_job_is_queued_when_all_its_needs_ended_as_required() {
    let mut jobs = [
        job("a", &[]),
        job("b", &[]),
        job("c", &[("a", GREEN), ("b", &[Outcome::Failed])]),
    ];
    end(&mut jobs[0], Outcome::Succeeded);
    settle(&mut jobs, START);
    assert_eq!(jobs[2].state, JobState::Blocked);

    end(&mut jobs[1], Outcome::Failed);

    assert_eq!(settle(&mut jobs, START), [Settled::Queued { job: 2 }]);
}

#[test]
fn a_job_whose_need_did_not_end_as_required_is_skipped_and_so_is_what_needs_it() {
    let mut jobs = [
        job("build", &[]),
        job("package", &[("test", GREEN)]),
        job("test", &[("build", GREEN)]),
    ];
    end(&mut jobs[0], Outcome::TimedOut);

    let settled = settle(&mut jobs, START);

    assert_eq!(
        settled,
        [
            Settled::Skipped {
                job: 2,
                because: "build".to_owned()
            },
            Settled::Skipped {
                job: 1,
                because: "test".to_owned()
            }
        ]
    );
    assert_eq!(pipeline_outcome(&jobs), Some(PipelineOutcome::TimedOut));
}

#[test]
fn a_wrong_plan_does_not_wait_for_ever() {
    let mut jobs = [
        job("a", &[("b", GREEN)]),
        job("b", &[("a", GREEN)]),
        job("c", &[("nobody", GREEN)]),
    ];

    settle(&mut jobs, START);

    assert_eq!(pipeline_outcome(&jobs), Some(PipelineOutcome::Failed));
}

#[test]
fn a_pipeline_has_the_first_outcome_of_the_order_that_one_of_its_jobs_has() {
    let order = [
        (Outcome::Cancelled, PipelineOutcome::Cancelled),
        (Outcome::InfraFailed, PipelineOutcome::InfraFailed),
        (Outcome::TimedOut, PipelineOutcome::TimedOut),
        (Outcome::Failed, PipelineOutcome::Failed),
        (Outcome::Succeeded, PipelineOutcome::Succeeded),
    ];
    for first in 0..order.len() {
        for second in first..order.len() {
            let mut jobs = [job("a", &[]), job("b", &[])];
            end(&mut jobs[0], order[second].0);
            end(&mut jobs[1], order[first].0);

            assert_eq!(pipeline_outcome(&jobs), Some(order[first].1));
        }
    }
}

#[test]
fn a_skipped_job_counts_as_the_need_that_skipped_it() {
    let mut jobs = [job("build", &[]), job("notify", &[("build", &[Outcome::Failed])])];
    end(&mut jobs[0], Outcome::Succeeded);
    settle(&mut jobs, START);

    assert_eq!(jobs[1].ended().unwrap().outcome, Outcome::Skipped);
    assert_eq!(pipeline_outcome(&jobs), Some(PipelineOutcome::Succeeded));
}

#[test]
fn a_pipeline_whose_jobs_were_all_filtered_away_succeeded_and_one_that_runs_has_no_outcome() {
    assert_eq!(pipeline_outcome(&[]), Some(PipelineOutcome::Succeeded));
    assert_eq!(pipeline_outcome(&[job("a", &[])]), None);
}

#[test]
fn a_cancelled_pipeline_skips_nothing_and_is_cancelled() {
    let mut jobs = [job("build", &[]), job("test", &[("build", GREEN)])];
    settle(&mut jobs, START);
    jobs[0]
        .claim(&holder("a", 1), &reach(), &Terms::default(), START)
        .unwrap();

    for job in &mut jobs {
        job.apply(Event::Cancel(order()), START).unwrap();
    }

    assert_eq!(settle(&mut jobs, START), []);
    assert_eq!(jobs[1].ended().unwrap().outcome, Outcome::Cancelled);
    assert_eq!(pipeline_outcome(&jobs), None, "the attempt is told to stop first");
}
