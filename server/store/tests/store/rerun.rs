//! Running a pipeline's commit again.

use api::Outcome;
use api::runner::presence::CancelOrder;
use api::{Cause, PipelineId};
use store::{Again, Origin, Rerun, Uncompiled};

use super::bench::{AgentBench, Bench, TaskBench, new_pipeline, plan};

fn started(rerun: Rerun) -> PipelineId {
    match rerun {
        Rerun::Started(pipeline) => pipeline,
        other => panic!("{other:?}"),
    }
}

async fn waiting(bench: &Bench, pipeline: &PipelineId) -> Uncompiled {
    let waiting = bench.store.uncompiled().await.unwrap();
    waiting.into_iter().find(|one| one.pipeline == *pipeline).unwrap()
}

/// A pipeline whose `good` succeeded, whose `bad` failed and whose `later` was skipped because of it.
async fn failed(bench: &Bench) -> PipelineId {
    let pipeline = bench
        .started(plan(&[("good", &[]), ("bad", &[]), ("later", &["bad"])]))
        .await;
    for name in ["a", "b"] {
        let claim = AgentBench::new(bench, name).claim().await.unwrap();
        let outcome = if claim.attempt.task == bench.job(&pipeline, "good").await.task {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        };
        let task = TaskBench::new(bench, &claim.attempt);
        task.finish(outcome, 0).await.unwrap();
    }
    pipeline
}

#[tokio::test]
async fn all_of_a_pipeline_runs_again_once_it_has_ended() {
    let bench = Bench::new().await;
    let mut new = new_pipeline("r");
    new.jobs = vec!["a".to_owned()];
    let first = bench.store.create_pipeline(new.clone()).await.unwrap();
    let early = bench.store.rerun(&first, Again::All, "ann").await.unwrap();
    let order = CancelOrder {
        by: "admin".to_owned(),
        why: String::new(),
    };
    bench.store.cancel_pipeline(&first, order).await.unwrap();

    let again = started(bench.store.rerun(&first, Again::All, "ann").await.unwrap());

    assert_eq!(early, Rerun::NotEnded);
    let again = waiting(&bench, &again).await;
    assert_ne!(again.pipeline, first);
    assert_eq!(
        (again.repository, again.commit, again.reference, again.jobs),
        (new.repository, new.commit, new.reference, new.jobs)
    );
    let audit = bench.store.audit(0, 100).await.unwrap();
    let entry = audit
        .iter()
        .find(|entry| entry.action == "pipeline.rerun")
        .unwrap();
    assert_eq!(
        (entry.actor.as_str(), entry.subject.as_str()),
        ("ann", first.as_str())
    );
    assert!(entry.detail.contains(again.pipeline.as_str()), "{entry:?}");
}

#[tokio::test]
async fn only_what_did_not_succeed_runs_again_where_that_is_asked_for() {
    let bench = Bench::new().await;
    let pipeline = failed(&bench).await;

    let again = bench.store.rerun(&pipeline, Again::Unsuccessful, "admin").await;

    let again = started(again.unwrap());
    assert_eq!(waiting(&bench, &again).await.jobs, ["bad", "later"]);
}

#[tokio::test]
async fn what_runs_or_succeeded_has_nothing_that_failed() {
    let bench = Bench::new().await;
    let pipeline = bench.started(plan(&[("a", &[])])).await;
    let claim = AgentBench::new(&bench, "a").claim().await.unwrap();

    let running = bench
        .store
        .rerun(&pipeline, Again::Unsuccessful, "admin")
        .await
        .unwrap();
    let all = bench.store.rerun(&pipeline, Again::All, "admin").await.unwrap();
    TaskBench::new(&bench, &claim.attempt)
        .finish(Outcome::Succeeded, 0)
        .await
        .unwrap();
    let green = bench
        .store
        .rerun(&pipeline, Again::Unsuccessful, "admin")
        .await
        .unwrap();
    let unknown = PipelineId::new("nothing").unwrap();
    let unknown = bench.store.rerun(&unknown, Again::All, "admin").await.unwrap();

    assert_eq!(
        [running, all, green, unknown],
        [
            Rerun::NotEnded,
            Rerun::NotEnded,
            Rerun::NothingToDo,
            Rerun::NotFound
        ]
    );
}

#[tokio::test]
async fn a_pipeline_that_never_had_jobs_runs_again_whole() {
    let bench = Bench::new().await;
    let cloned = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();
    let cause = Cause::Clone {
        message: "no route".to_owned(),
        certain: false,
    };
    bench.store.fail_pipeline(&cloned, cause).await.unwrap();
    let cancelled = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();
    let order = CancelOrder {
        by: "admin".to_owned(),
        why: String::new(),
    };
    bench.store.cancel_pipeline(&cancelled, order).await.unwrap();

    for pipeline in [cloned, cancelled] {
        let again = bench.store.rerun(&pipeline, Again::Unsuccessful, "admin").await;

        let again = started(again.unwrap());
        assert!(waiting(&bench, &again).await.jobs.is_empty());
    }
}

#[tokio::test]
async fn a_forks_commit_that_runs_again_is_a_forks_still() {
    let bench = Bench::new().await;
    let mut new = new_pipeline("r");
    new.origin = Origin::Fork;
    let first = bench.store.create_pipeline(new).await.unwrap();
    let order = CancelOrder {
        by: "admin".to_owned(),
        why: String::new(),
    };
    bench.store.cancel_pipeline(&first, order).await.unwrap();

    let again = started(bench.store.rerun(&first, Again::All, "ann").await.unwrap());

    bench
        .store
        .start_pipeline(&again, plan(&[("a", &[])]))
        .await
        .unwrap();
    let claim = AgentBench::new(&bench, "a").claim().await.unwrap();
    let scope = bench.store.scope(&claim.attempt).await.unwrap().unwrap();
    assert_eq!(scope.origin, Origin::Fork);
}
