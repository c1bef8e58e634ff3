//! The outbox of commit statuses.

use api::runner::presence::CancelOrder;
use api::{Cause, Outcome, PipelineId};
use store::{CommitStatus, Settings, StatusState, UnsentStatus};

use super::bench::{AgentBench, Bench, TaskBench, plan, settings};

/// The repository that has a token.
const APP: &str = "acme/app";

async fn unsent(bench: &Bench) -> Vec<UnsentStatus> {
    bench
        .store
        .unsent_statuses(&[APP.to_owned()], &[], 100)
        .await
        .unwrap()
}

/// What is unsent, in short.
async fn told(bench: &Bench) -> Vec<(String, StatusState, String)> {
    let short = |one: UnsentStatus| (one.context, one.status.state, one.status.description);
    unsent(bench).await.into_iter().map(short).collect()
}

async fn send_all(bench: &Bench) {
    for one in unsent(bench).await {
        bench.store.status_sent(&one).await.unwrap();
    }
}

fn one(context: &str, state: StatusState, description: &str) -> (String, StatusState, String) {
    (context.to_owned(), state, description.to_owned())
}

fn config_error() -> Cause {
    Cause::Config {
        file: ".ci.yml".to_owned(),
        line: 2,
        column: 3,
        message: "unknown key `step`".to_owned(),
    }
}

async fn uncompiled(bench: &Bench) -> PipelineId {
    let new = super::bench::new_pipeline(APP);
    bench.store.create_pipeline(new).await.unwrap()
}

/// Claims a job and ends it.
async fn run(bench: &Bench, outcome: Outcome) {
    let mut agent = AgentBench::new(bench, "a");
    agent.nonce = bench.store.now().0;
    let claim = agent.claim().await.unwrap();
    TaskBench::new(bench, &claim.attempt)
        .finish(outcome, 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_job_has_a_status_as_soon_as_there_is_a_plan() {
    let bench = Bench::new().await;

    let pipeline = bench
        .started_for(APP, plan(&[("build", &[]), ("test", &["build"])]))
        .await;

    assert_eq!(
        told(&bench).await,
        [
            one("goatherd/build", StatusState::Pending, "queued"),
            one("goatherd/test", StatusState::Pending, "waits for build"),
        ]
    );
    let first = &unsent(&bench).await[0];
    assert_eq!((&first.pipeline, first.repository.as_str()), (&pipeline, APP));
    assert_eq!(first.commit, "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00");
}

#[tokio::test]
async fn what_was_not_sent_in_time_is_written_over_and_never_comes_back() {
    let bench = Bench::new().await;
    bench
        .started_for(APP, plan(&[("build", &[]), ("test", &["build"])]))
        .await;
    let pending = unsent(&bench).await;

    run(&bench, Outcome::Failed).await;
    // The answer to a status that was on its way meanwhile.
    bench.store.status_sent(&pending[0]).await.unwrap();

    let expected = [
        one(
            "goatherd/build",
            StatusState::Failure,
            "a step exited with code 3",
        ),
        one(
            "goatherd/test",
            StatusState::Success,
            "skipped: `build` did not end as required",
        ),
    ];
    assert_eq!(told(&bench).await, expected);
    assert_eq!(told(&bench.killed().await).await, expected);
    send_all(&bench).await;
    bench.store.status_sent(&pending[1]).await.unwrap();
    assert_eq!(told(&bench).await, []);
    assert_eq!(told(&bench.restart().await).await, []);
}

#[tokio::test]
async fn a_pipeline_without_a_plan_is_told_and_a_later_one_with_a_plan_takes_it_back() {
    let bench = Bench::new().await;
    let first = uncompiled(&bench).await;

    bench.store.fail_pipeline(&first, config_error()).await.unwrap();

    let words = ".ci.yml:2:3: unknown key `step`";
    assert_eq!(told(&bench).await, [one("goatherd", StatusState::Failure, words)]);
    send_all(&bench).await;
    bench.started_for(APP, plan(&[("build", &[])])).await;
    assert_eq!(
        told(&bench).await,
        [
            one("goatherd", StatusState::Success, "the config was read"),
            one("goatherd/build", StatusState::Pending, "queued"),
        ]
    );
}

#[tokio::test]
async fn a_plan_without_jobs_is_a_success() {
    let bench = Bench::new().await;

    bench.started_for(APP, plan(&[])).await;

    assert_eq!(
        told(&bench).await,
        [one("goatherd", StatusState::Success, "no job is to be run")]
    );
}

#[tokio::test]
async fn a_cancel_is_told_with_or_without_a_plan() {
    let bench = Bench::new().await;
    let order = CancelOrder {
        by: "admin".to_owned(),
        why: "enough".to_owned(),
    };
    let planned = bench.started_for(APP, plan(&[("build", &[])])).await;
    let unplanned = uncompiled(&bench).await;

    bench
        .store
        .cancel_pipeline(&planned, order.clone())
        .await
        .unwrap();
    bench.store.cancel_pipeline(&unplanned, order).await.unwrap();

    let words = "cancelled by admin: enough";
    assert_eq!(
        told(&bench).await,
        [
            one("goatherd/build", StatusState::Error, words),
            one("goatherd", StatusState::Error, words),
        ]
    );
}

#[tokio::test]
async fn of_two_pipelines_of_one_commit_the_newer_one_counts() {
    let bench = Bench::new().await;
    let older = bench.started_for(APP, plan(&[("build", &[])])).await;
    let newer = bench.started_for(APP, plan(&[("build", &[])])).await;

    run(&bench, Outcome::Failed).await;

    assert!(bench.view(&older).await.summary.outcome.is_some());
    let found = unsent(&bench).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].pipeline, newer);
    assert_eq!(found[0].status, CommitStatus::new(StatusState::Pending, "queued"));
}

#[tokio::test]
async fn jobs_whose_names_differ_in_case_only_have_contexts_of_their_own() {
    let bench = Bench::new().await;

    bench
        .started_for(APP, plan(&[("Build", &[]), ("build", &[])]))
        .await;

    let contexts: Vec<_> = told(&bench).await.into_iter().map(|one| one.0).collect();
    assert_eq!(contexts, ["goatherd/Build", "goatherd/build (2)"]);
}

#[tokio::test]
async fn a_repository_without_a_token_has_no_statuses() {
    let bench = Bench::new().await;

    bench.started_for("acme/other", plan(&[("build", &[])])).await;

    let all = [APP.to_owned(), "acme/other".to_owned()];
    assert_eq!(bench.store.unsent_statuses(&all, &[], 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_token_that_comes_back_finds_the_newest_states() {
    let bench = Bench::new().await;
    bench.started_for(APP, plan(&[("build", &[])])).await;
    send_all(&bench).await;
    let without = Settings {
        status_repositories: std::collections::BTreeSet::new(),
        ..settings()
    };

    let bench = bench.restart_with(without).await;
    run(&bench, Outcome::Failed).await;
    let bench = bench.restart_with(settings()).await;

    assert_eq!(
        told(&bench).await,
        [one(
            "goatherd/build",
            StatusState::Failure,
            "a step exited with code 3"
        )]
    );
}

#[tokio::test]
async fn what_is_refused_is_recorded_and_tried_again_once_after_a_start() {
    let bench = Bench::new().await;
    bench.started_for(APP, plan(&[("build", &[])])).await;
    let pending = unsent(&bench).await.remove(0);

    bench
        .store
        .status_refused(&pending, "401: Bad credentials")
        .await
        .unwrap();

    assert_eq!(told(&bench).await, []);
    let entries = bench.store.audit(0, 100).await.unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry.action == "status.refused")
        .unwrap();
    assert_eq!(entry.detail, "goatherd/build pending: 401: Bad credentials");
    let bench = bench.restart().await;
    assert_eq!(unsent(&bench).await, [pending]);
}

#[tokio::test]
async fn a_refusal_of_what_is_not_true_any_more_does_not_hold_back_what_is() {
    let bench = Bench::new().await;
    bench.started_for(APP, plan(&[("build", &[])])).await;
    let pending = unsent(&bench).await.remove(0);

    run(&bench, Outcome::Failed).await;
    bench.store.status_refused(&pending, "too late").await.unwrap();

    let found = told(&bench).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, StatusState::Failure);
}

#[tokio::test]
async fn the_first_of_each_repository_is_seen_however_much_of_another_waits() {
    let both = [APP.to_owned(), "acme/lib".to_owned()];
    let bench = Bench::with(Settings {
        status_repositories: both.iter().cloned().collect(),
        ..settings()
    })
    .await;
    for number in 0..3 {
        let mut new = super::bench::new_pipeline(APP);
        new.commit = format!("{number:040x}");
        let pipeline = bench.store.create_pipeline(new).await.unwrap();
        let plan = plan(&[("a", &[]), ("b", &[]), ("c", &[])]);
        bench.store.start_pipeline(&pipeline, plan).await.unwrap();
    }
    let new = super::bench::new_pipeline("acme/lib");
    let pipeline = bench.store.create_pipeline(new).await.unwrap();
    bench
        .store
        .start_pipeline(&pipeline, plan(&[("late", &[])]))
        .await
        .unwrap();

    let read = async |except: &[i64]| bench.store.unsent_statuses(&both, except, 2).await.unwrap();
    let first = read(&[]).await;
    let put_off: Vec<i64> = first.iter().map(|one| one.number).collect();
    let second = read(&put_off).await;

    let contexts =
        |found: &[UnsentStatus]| -> Vec<String> { found.iter().map(|one| one.context.clone()).collect() };
    assert_eq!(contexts(&first), ["goatherd/a", "goatherd/late"]);
    assert!(second.iter().all(|one| one.repository == APP), "{second:?}");
    assert!(
        second.iter().all(|one| !put_off.contains(&one.number)),
        "{second:?}"
    );
    bench.store.close().await;
}
