//! Deliveries, plans, cancels, and how pipelines end.

use api::people::{Cancelled, EventKind};
use api::runner::presence::CancelOrder;
use api::{Cause, Outcome, PipelineId, PipelineOutcome, Plan};
use store::{Accepted, Delivery, StoreError};

use super::bench::{AgentBench, Bench, TaskBench, new_pipeline, plan};

pub(crate) fn delivery(id: &str, body: &str) -> Delivery {
    Delivery {
        hook: "main".to_owned(),
        id: id.to_owned(),
        body_sha256: format!("sha of {body}"),
        event: "push".to_owned(),
        body: body.as_bytes().to_vec(),
    }
}

fn order() -> CancelOrder {
    CancelOrder {
        by: "admin".to_owned(),
        why: "enough".to_owned(),
    }
}

#[tokio::test]
async fn a_repeated_delivery_or_body_makes_no_second_pipeline() {
    let bench = Bench::new().await;
    let store = &bench.store;

    let first = store
        .accept_delivery(delivery("1", "a"), Some(new_pipeline("r")))
        .await
        .unwrap();
    let same_id = store
        .accept_delivery(delivery("1", "b"), Some(new_pipeline("r")))
        .await
        .unwrap();
    let same_body = store
        .accept_delivery(delivery("2", "a"), Some(new_pipeline("r")))
        .await
        .unwrap();

    let Accepted::New(Some(pipeline)) = first else {
        panic!("{first:?}");
    };
    assert_eq!(same_id, Accepted::Repeated(Some(pipeline.clone())));
    assert_eq!(same_body, Accepted::Repeated(Some(pipeline)));
    assert_eq!(store.pipelines(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_hook_may_use_the_same_delivery_id() {
    let bench = Bench::new().await;
    let other = Delivery {
        hook: "other".to_owned(),
        ..delivery("1", "a")
    };

    let first = bench
        .store
        .accept_delivery(delivery("1", "a"), None)
        .await
        .unwrap();
    let second = bench.store.accept_delivery(other, None).await.unwrap();

    assert_eq!([first, second], [Accepted::New(None), Accepted::New(None)]);
}

#[tokio::test]
async fn the_same_delivery_many_times_at_once_is_taken_once() {
    let bench = Bench::new().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = bench.store.clone();
        calls.spawn(async move {
            store
                .accept_delivery(delivery("1", "a"), Some(new_pipeline("r")))
                .await
        });
    }

    let answers = calls.join_all().await;

    let new = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Accepted::New(_))))
        .count();
    assert_eq!(new, 1);
    assert_eq!(bench.store.pipelines(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_restart_the_server_finds_what_it_had_not_compiled() {
    let bench = Bench::new().await;
    let first = bench.store.create_pipeline(new_pipeline("one")).await.unwrap();
    let mut second = new_pipeline("two");
    second.jobs = vec!["test".to_owned()];
    bench.store.create_pipeline(second).await.unwrap();
    bench.started(plan(&[("build", &[])])).await;

    let bench = bench.restart().await;

    let found = bench.store.uncompiled().await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].pipeline, first);
    assert_eq!(found[1].repository, "two");
    assert_eq!(found[1].jobs, ["test"]);
}

#[tokio::test]
async fn starting_twice_is_starting_once() {
    let bench = Bench::new().await;
    let pipeline = bench.started(plan(&[("build", &[]), ("test", &["build"])])).await;
    let before = (bench.view(&pipeline).await, bench.events(&pipeline).await);

    bench
        .store
        .start_pipeline(&pipeline, plan(&[("other", &[])]))
        .await
        .unwrap();

    assert_eq!(
        (bench.view(&pipeline).await, bench.events(&pipeline).await),
        before
    );
    assert_eq!(before.0.jobs[0].state, "queued");
    assert_eq!(before.0.jobs[1].state, "blocked");
    assert_eq!(before.0.jobs[1].requires, ["build"]);
}

#[tokio::test]
async fn a_plan_whose_jobs_were_all_filtered_away_succeeds() {
    let bench = Bench::new().await;

    let pipeline = bench.started(Plan::default()).await;

    let view = bench.view(&pipeline).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));
}

#[tokio::test]
async fn an_unsound_plan_is_refused_whole() {
    let bench = Bench::new().await;
    let pipeline = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();

    for unsound in [
        plan(&[("a", &["b"]), ("b", &["a"])]),
        plan(&[("a", &["nothing"])]),
        plan(&[("a", &[]), ("a", &[])]),
    ] {
        let refused = bench.store.start_pipeline(&pipeline, unsound).await;
        assert!(matches!(refused, Err(StoreError::Plan(_))), "{refused:?}");
    }

    assert_eq!(bench.store.uncompiled().await.unwrap().len(), 1);
    assert!(bench.view(&pipeline).await.jobs.is_empty());
    bench
        .store
        .start_pipeline(&pipeline, plan(&[("a", &[])]))
        .await
        .unwrap();
    assert_eq!(bench.job(&pipeline, "a").await.state, "queued");
}

#[tokio::test]
async fn a_pipeline_without_a_plan_has_its_own_outcome_and_cause() {
    let bench = Bench::new().await;
    let clone = Cause::Clone {
        message: "refused".to_owned(),
        certain: true,
    };
    let config = Cause::Config {
        file: ".ci.yml".to_owned(),
        line: 1,
        column: 2,
        message: "wrong".to_owned(),
    };

    for (cause, outcome) in [
        (clone, PipelineOutcome::InfraFailed),
        (config, PipelineOutcome::Failed),
    ] {
        let pipeline = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();
        bench.store.fail_pipeline(&pipeline, cause.clone()).await.unwrap();
        // What comes later changes nothing.
        bench
            .store
            .fail_pipeline(&pipeline, Cause::NotAuthorised)
            .await
            .unwrap();
        bench
            .store
            .start_pipeline(&pipeline, plan(&[("a", &[])]))
            .await
            .unwrap();

        let view = bench.view(&pipeline).await;
        assert_eq!(view.summary.outcome, Some(outcome));
        assert_eq!(view.summary.cause.as_ref(), Some(&cause));
        let events = bench.events(&pipeline).await;
        let cause = Some(cause);
        assert_eq!(events, [EventKind::PipelineFinished { outcome, cause }]);
    }
}

#[tokio::test]
async fn an_unknown_pipeline_is_named() {
    let bench = Bench::new().await;
    let unknown = PipelineId::new("nothing").unwrap();

    let refused = bench.store.start_pipeline(&unknown, Plan::default()).await;

    assert!(matches!(refused, Err(StoreError::NoPipeline(id)) if id == unknown));
    assert!(bench.store.pipeline(&unknown).await.unwrap().is_none());
    assert!(bench.store.events(&unknown, 0, 10).await.unwrap().is_empty());
    assert_eq!(
        bench.store.cancel_pipeline(&unknown, order()).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_pipeline_is_cancelled_before_it_has_a_plan() {
    let bench = Bench::new().await;
    let pipeline = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();

    let first = bench.store.cancel_pipeline(&pipeline, order()).await.unwrap();
    let second = bench.store.cancel_pipeline(&pipeline, order()).await.unwrap();

    assert!(bench.store.uncompiled().await.unwrap().is_empty());
    let view = bench.view(&pipeline).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Cancelled));
    let ended = Some(PipelineOutcome::Cancelled);
    assert_eq!(
        [first, second],
        [Some(Cancelled { ended: None }), Some(Cancelled { ended })]
    );
}

#[tokio::test]
async fn cancelling_ends_what_waits_and_orders_what_runs() {
    let bench = Bench::new().await;
    let pipeline = bench
        .started(plan(&[
            ("running", &[]),
            ("queued", &[]),
            ("blocked", &["running"]),
        ]))
        .await;
    let mut agent = AgentBench::new(&bench, "a");
    let claim = agent.claim().await.unwrap();
    assert_eq!(claim.job, "running");

    bench
        .store
        .cancel_pipeline(&pipeline, order())
        .await
        .unwrap()
        .unwrap();

    let states: Vec<_> = bench
        .view(&pipeline)
        .await
        .jobs
        .into_iter()
        .map(|job| job.state)
        .collect();
    assert_eq!(states, ["running", "cancelled", "cancelled"]);
    let task = TaskBench::new(&bench, &claim.attempt);
    let told = bench
        .store
        .heartbeat(&claim.attempt, task.instance.clone())
        .await
        .unwrap();
    assert_eq!(told, Ok(Some(order())));
    let presence = bench
        .store
        .presence("default", &agent.presence())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(presence.attempts[0].cancel, Some(order()));

    task.finish(Outcome::Succeeded, 0).await.unwrap();

    let view = bench.view(&pipeline).await;
    assert_eq!(view.jobs[0].state, "cancelled");
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Cancelled));
    let events = bench.events(&pipeline).await;
    assert!(matches!(events.last(), Some(EventKind::PipelineFinished { .. })));
}

#[tokio::test]
async fn a_failed_need_skips_what_waits_for_it() {
    let bench = Bench::new().await;
    let pipeline = bench
        .started(plan(&[("build", &[]), ("test", &["build"]), ("ship", &["test"])]))
        .await;
    let claim = AgentBench::new(&bench, "a").claim().await.unwrap();

    TaskBench::new(&bench, &claim.attempt)
        .finish(Outcome::Failed, 0)
        .await
        .unwrap();

    let view = bench.view(&pipeline).await;
    let states: Vec<_> = view.jobs.iter().map(|job| job.state.as_str()).collect();
    assert_eq!(states, ["failed", "skipped", "skipped"]);
    let because: Vec<_> = bench
        .events(&pipeline)
        .await
        .into_iter()
        .filter_map(|event| match event {
            EventKind::JobFinished { job, because, .. } => Some((job, because)),
            _ => None,
        })
        .collect();
    let need = |job: &str, need: Option<&str>| (job.to_owned(), need.map(str::to_owned));
    assert_eq!(
        because,
        [
            need("build", None),
            need("test", Some("build")),
            need("ship", Some("test"))
        ]
    );
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Failed));
    assert_eq!(view.jobs[0].cause, Some(Cause::Exit { code: 3 }));
    assert_eq!(
        view.jobs[0].sentence.as_deref(),
        Some("a step exited with code 3")
    );
    assert!(view.jobs[1].sentence.as_ref().unwrap().contains("`build`"));
}

#[tokio::test]
async fn each_change_is_in_the_audit_log() {
    let bench = Bench::new().await;
    bench
        .store
        .accept_delivery(delivery("1", "a"), Some(new_pipeline("r")))
        .await
        .unwrap();
    let pipeline = bench.store.uncompiled().await.unwrap()[0].pipeline.clone();
    bench
        .store
        .start_pipeline(&pipeline, plan(&[("a", &[])]))
        .await
        .unwrap();
    let claim = AgentBench::new(&bench, "worker").claim().await.unwrap();
    TaskBench::new(&bench, &claim.attempt)
        .finish(Outcome::Succeeded, 0)
        .await
        .unwrap();

    assert_eq!(
        bench.actions().await,
        [
            "pipeline.created",
            "webhook.accepted",
            "pipeline.started",
            "attempt.claimed",
            "attempt.closed",
            "pipeline.ended"
        ]
    );
    let entries = bench.store.audit(1, 3).await.unwrap();
    let actors: Vec<_> = entries.iter().map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["webhook main", "server", "agent worker"]);
    assert_eq!(entries[2].subject, claim.attempt.to_string());
}
