//! What a provider is told of a job.

use api::{Cause, Millis, Outcome, Phase};

use super::case::{Case, agent, cancelled, fail, finish, job, order, succeed, window};
use crate::{CommitStatus, Event, Job, StatusState, settle};

const GREEN: &[Outcome] = &[Outcome::Succeeded];

fn status(job: &Job) -> (StatusState, String) {
    let CommitStatus { state, description } = job.commit_status();
    (state, description)
}

fn pending(text: &str) -> (StatusState, String) {
    (StatusState::Pending, text.to_owned())
}

#[test]
fn a_job_is_pending_until_it_has_ended_and_says_what_it_waits_for() {
    let blocked = job("c", &[("a", GREEN), ("b", GREEN)]);
    assert_eq!(status(&blocked), pending("waits for a, b"));

    let case = Case::queued();
    assert_eq!(status(&case.job), pending("queued"));

    let mut case = case.begun();
    assert_eq!(status(&case.job), pending("running"));

    case.now = case.now.after(Millis(64_001));
    case.call(succeed()).unwrap();
    assert_eq!(
        status(&case.job),
        (StatusState::Success, "succeeded in 1 min 5 s".to_owned())
    );
}

#[test]
fn what_a_commit_did_is_a_failure_with_the_causes_sentence() {
    for (outcome, cause) in [
        (Outcome::Failed, Cause::Exit { code: 3 }),
        (
            Outcome::TimedOut,
            Cause::NoOutput {
                step: "make".to_owned(),
            },
        ),
    ] {
        let mut case = Case::queued().begun();

        case.call(finish(outcome, Some(cause.clone()))).unwrap();

        assert_eq!(status(&case.job), (StatusState::Failure, cause.sentence()));
    }
}

#[test]
fn what_infrastructure_did_is_an_error_once_it_is_the_jobs_end() {
    let mut case = Case::queued().begun();
    case.call(fail(agent("a"))).unwrap();
    assert_eq!(status(&case.job), pending("running"));

    case.pass(window());

    let (state, description) = status(&case.job);
    assert_eq!(state, StatusState::Error);
    assert_eq!(
        Some(description),
        case.end().unwrap().1.map(|cause| cause.sentence())
    );
}

#[test]
fn a_job_that_is_queued_again_says_why() {
    let mut case = Case::queued().at(Phase::Starting);
    case.call(fail(agent("a"))).unwrap();

    case.pass(window());

    assert_eq!(
        status(&case.job),
        pending("queued again: internal failure: broken")
    );
    let case = case.claimed();
    assert_eq!(status(&case.job), pending("running (attempt 2)"));
}

#[test]
fn a_cancelled_job_is_an_error_that_names_who_did_it() {
    let mut case = Case::queued().begun();
    case.cancel();
    assert_eq!(status(&case.job), pending("running, and is being cancelled"));

    case.call(finish(Outcome::Cancelled, None)).unwrap();

    assert_eq!(status(&case.job), (StatusState::Error, cancelled().sentence()));
}

#[test]
fn a_skipped_job_is_never_left_pending() {
    let mut jobs = [job("build", &[]), job("test", &[("build", GREEN)])];
    settle(&mut jobs, super::case::START);
    jobs[0].apply(Event::Cancel(order()), super::case::START).unwrap();

    settle(&mut jobs, super::case::START);

    assert_eq!(
        status(&jobs[1]),
        (
            StatusState::Success,
            "skipped: `build` did not end as required".to_owned()
        )
    );
}

#[test]
fn a_pipeline_without_a_plan_has_the_causes_state() {
    let config = Cause::Config {
        file: ".ci.yml".to_owned(),
        line: 3,
        column: 5,
        message: "unknown key".to_owned(),
    };
    let clone = Cause::Clone {
        message: "no such repository".to_owned(),
        certain: true,
    };

    assert_eq!(
        CommitStatus::unplanned(&config),
        CommitStatus::new(StatusState::Failure, ".ci.yml:3:5: unknown key")
    );
    assert_eq!(CommitStatus::unplanned(&clone).state, StatusState::Error);
    assert_eq!(CommitStatus::unplanned(&cancelled()).state, StatusState::Error);
}
