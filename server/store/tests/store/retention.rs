//! Removing what is old or too much, and nothing else.

use std::fs;

use api::people::EventKind;
use api::runner::task::Stream;
use api::{Outcome, PipelineId};
use store::{Accepted, Reach, Removed, Time, Which};

use super::bench::{AgentBench, Bench, TaskBench, chunk, new_pipeline, plan};
use super::pipelines::delivery;

const ALL: Reach = Reach::EndedBefore(Time(u64::MAX));

/// A pipeline that has ended, with output in pieces and an artifact.
async fn ended(bench: &Bench, chunks: u64) -> (PipelineId, TaskBench) {
    let pipeline = bench.started(plan(&[("build", &[])])).await;
    let mut agent = AgentBench::new(bench, &format!("agent-{pipeline}"));
    let task = TaskBench::new(bench, &agent.claim().await.unwrap().attempt);
    let text = "x".repeat(1000);
    for first in (1..=chunks).step_by(100) {
        let last = chunks.min(first + 99);
        let chunks = (first..=last).map(|number| chunk(number, &text)).collect();
        assert_eq!(task.output(chunks).await, Ok(last));
    }
    let instance = task.instance.clone();
    bench
        .store
        .add_artifact(&task.attempt, instance, "app", 5000, "5a")
        .await
        .unwrap()
        .unwrap();
    task.finish(Outcome::Succeeded, chunks).await.unwrap();
    (pipeline, task)
}

/// Removes all that is marked; answers in how many pieces.
async fn remove(bench: &Bench) -> usize {
    let mut pieces = 0;
    for removal in bench.store.removals(100).await.unwrap() {
        loop {
            pieces += 1;
            if bench.store.remove_piece(&removal).await.unwrap() {
                break;
            }
        }
    }
    pieces
}

async fn mark(bench: &Bench, what: Removed, reach: Reach) -> u32 {
    bench
        .store
        .begin_removals(what, reach, 100, "kept for a test")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_log_that_was_removed_says_so_from_the_first_moment() {
    let bench = Bench::new().await;
    let (pipeline, task) = ended(&bench, 3).await;
    let before = bench.events(&pipeline).await;

    let marked = mark(&bench, Removed::Logs, ALL).await;

    assert_eq!(marked, 1);
    let at_once = bench.events(&pipeline).await;
    remove(&bench).await;
    assert_eq!(bench.events(&pipeline).await, at_once);
    let notes: Vec<&EventKind> = at_once
        .iter()
        .filter(|event| matches!(event, EventKind::StepOutput { .. }))
        .collect();
    let [
        EventKind::StepOutput {
            job,
            step,
            stream,
            text,
        },
    ] = notes[..]
    else {
        panic!("{notes:?}");
    };
    assert_eq!(
        (job.as_str(), step.as_str(), *stream),
        ("build", "make", Stream::System)
    );
    assert!(
        text.contains("was removed") && text.contains("kept for a test"),
        "{text}"
    );
    // Where the output was, and all the rest as before.
    assert_eq!(at_once.len(), before.len() - 2);
    let place = |events: &[EventKind]| {
        events
            .iter()
            .position(|event| matches!(event, EventKind::StepOutput { .. }))
    };
    assert_eq!(place(&at_once), place(&before));
    let view = bench.view(&pipeline).await;
    assert!(view.summary.logs_removed.is_some() && view.summary.artifacts_removed.is_none());
    assert_eq!(view.jobs[0].artifacts.len(), 1);
    let removed = bench
        .store
        .removed(&task.attempt.task, Removed::Logs)
        .await
        .unwrap();
    assert!(removed.is_some());
    assert_eq!(mark(&bench, Removed::Logs, ALL).await, 0, "once is enough");
    assert!(bench.actions().await.contains(&"retention.logs".to_owned()));
}

#[tokio::test]
async fn artifacts_that_were_removed_are_named_no_more() {
    let bench = Bench::new().await;
    let (pipeline, task) = ended(&bench, 1).await;
    let store = &bench.store;
    let named = store.kept_artifacts(&task.attempt.task).await.unwrap().unwrap();

    mark(&bench, Removed::Artifacts, ALL).await;
    remove(&bench).await;

    assert_eq!(Vec::from_iter(named), [(1, "5a".to_owned())]);
    let view = bench.view(&pipeline).await;
    assert!(view.summary.artifacts_removed.is_some() && view.summary.logs_removed.is_none());
    assert!(view.jobs[0].artifacts.is_empty());
    let named = store.kept_artifacts(&task.attempt.task).await.unwrap().unwrap();
    assert!(named.is_empty());
}

#[tokio::test]
async fn a_pipeline_that_was_removed_is_gone_from_the_first_moment_and_starts_no_second_time() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let taken = store
        .accept_delivery(delivery("1", "a"), Some(new_pipeline("r")))
        .await
        .unwrap();
    let Accepted::New(Some(first)) = taken else {
        panic!("{taken:?}");
    };
    store.start_pipeline(&first, plan(&[("a", &[])])).await.unwrap();
    let claim = AgentBench::new(&bench, "one").claim().await.unwrap();
    TaskBench::new(&bench, &claim.attempt)
        .finish(Outcome::Succeeded, 0)
        .await
        .unwrap();

    let marked = mark(&bench, Removed::Pipeline, ALL).await;

    assert_eq!(marked, 1);
    for done in [false, true] {
        if done {
            remove(&bench).await;
        }
        assert_eq!(store.pipeline(&first).await.unwrap(), None);
        assert!(store.pipelines(10).await.unwrap().is_empty());
        assert!(bench.events(&first).await.is_empty());
        assert_eq!(store.pipeline_of(&claim.attempt.task).await.unwrap(), None);
    }
    assert!(store.removals(10).await.unwrap().is_empty());
    let again = store
        .accept_delivery(delivery("1", "a"), Some(new_pipeline("r")))
        .await
        .unwrap();
    assert_eq!(again, Accepted::Repeated(None));
    let kept = store.kept_artifacts(&claim.attempt.task).await.unwrap();
    assert_eq!(kept.map(|kept| kept.len()), Some(0), "nobody's files may stay");
}

#[tokio::test]
async fn what_runs_is_never_touched() {
    let bench = Bench::new().await;
    let running = bench.started(plan(&[("build", &[])])).await;
    let claim = AgentBench::new(&bench, "one").claim().await.unwrap();
    let task = TaskBench::new(&bench, &claim.attempt);
    task.output(vec![chunk(1, "a")]).await.unwrap();
    let waiting = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();

    for what in [Removed::Logs, Removed::Artifacts, Removed::Pipeline] {
        assert_eq!(mark(&bench, what, ALL).await, 0, "{what:?}");
        assert_eq!(
            mark(&bench, what, Reach::Oldest { bytes: u64::MAX }).await,
            0,
            "{what:?}"
        );
    }

    for pipeline in [running, waiting] {
        assert!(bench.store.pipeline(&pipeline).await.unwrap().is_some());
    }
    assert_eq!(
        bench.store.kept_artifacts(&task.attempt.task).await.unwrap(),
        None
    );
    task.output(vec![chunk(2, "b")]).await.unwrap();
}

#[tokio::test]
async fn what_ended_later_stays() {
    let bench = Bench::new().await;
    let (old, _) = ended(&bench, 1).await;
    let between = bench.store.now();
    while bench.store.now() == between {
        tokio::task::yield_now().await;
    }
    let (young, _) = ended(&bench, 1).await;
    let before = Time(between.0 + 1);

    let marked = mark(&bench, Removed::Pipeline, Reach::EndedBefore(before)).await;
    remove(&bench).await;

    assert_eq!(marked, 1);
    assert_eq!(bench.store.pipeline(&old).await.unwrap(), None);
    assert!(bench.store.pipeline(&young).await.unwrap().is_some());
}

#[tokio::test]
async fn too_much_is_removed_oldest_first_and_no_further_than_needed() {
    let bench = Bench::new().await;
    let mut pipelines = Vec::new();
    for _ in 0..3 {
        pipelines.push(ended(&bench, 10).await.0);
    }
    let before = bench.store.sizes().await.unwrap();

    let logs = mark(&bench, Removed::Logs, Reach::Oldest { bytes: 10_001 }).await;
    let artifacts = mark(&bench, Removed::Artifacts, Reach::Oldest { bytes: 5000 }).await;
    remove(&bench).await;

    assert_eq!((before.logs, before.artifacts), (30_000, 15_000));
    assert_eq!((logs, artifacts), (2, 1));
    let after = bench.store.sizes().await.unwrap();
    assert_eq!((after.logs, after.artifacts), (10_000, 10_000));
    let mut removed = Vec::new();
    for pipeline in &pipelines {
        removed.push(bench.view(pipeline).await.summary.logs_removed.is_some());
    }
    assert_eq!(removed, [true, true, false]);
}

#[tokio::test]
async fn removing_goes_in_pieces_and_an_interrupted_one_is_finished() {
    let bench = Bench::new().await;
    let (pipeline, _) = ended(&bench, 1000).await;
    mark(&bench, Removed::Pipeline, ALL).await;
    let removal = bench.store.removals(1).await.unwrap().remove(0);
    assert!(!bench.store.remove_piece(&removal).await.unwrap());

    let after = bench.killed().await;

    assert_eq!(after.store.pipeline(&pipeline).await.unwrap(), None);
    assert!(remove(&after).await > 1);
    assert!(after.store.removals(1).await.unwrap().is_empty());
    let after = after.restart().await;
    assert_eq!(after.store.sizes().await.unwrap().logs, 0);
}

#[tokio::test]
async fn space_comes_back_to_the_disk() {
    let bench = Bench::new().await;
    ended(&bench, 5000).await;
    let bench = bench.restart().await;
    let file = bench.path().join("goatherd.sqlite");
    let before = fs::metadata(&file).unwrap().len();

    mark(&bench, Removed::Logs, ALL).await;
    remove(&bench).await;
    let mut steps = 0;
    while bench.store.shrink().await.unwrap() {
        steps += 1;
    }
    let bench = bench.restart().await;

    assert!(steps > 0, "it goes in steps too");
    let after = fs::metadata(&file).unwrap().len();
    assert!(before > 5_000_000 && after < 500_000, "{before} {after}");
    bench.store.close().await;
}

#[tokio::test]
async fn the_audit_log_is_trimmed_by_its_own_age() {
    let bench = Bench::new().await;
    for number in 0..600 {
        bench
            .store
            .record("admin", "old", &number.to_string(), "")
            .await
            .unwrap();
    }

    assert_eq!(bench.store.trim_audit(Time(1)).await.unwrap(), 0);
    let mut gone = 0;
    loop {
        match bench.store.trim_audit(Time(u64::MAX)).await.unwrap() {
            0 => break,
            piece => gone += piece,
        }
    }

    assert_eq!(gone, 600);
    assert!(bench.store.audit(0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_may_ask_for_a_prefix_a_commit_or_a_repository() {
    let bench = Bench::new().await;
    let make = async |repository: &str, commit: &str| {
        let mut new = new_pipeline(repository);
        commit.clone_into(&mut new.commit);
        bench.store.create_pipeline(new).await.unwrap()
    };
    let one = make("acme/app", "aa").await;
    let two = make("acme/app", "bb").await;
    let three = make("acme/lib", "bb").await;
    let ask = async |which: Which| -> Vec<PipelineId> {
        let found = bench.store.pipelines_which(which, 10).await.unwrap();
        found.into_iter().map(|summary| summary.id).collect()
    };

    let prefix = Which {
        prefix: Some(one.as_str()[..8].to_owned()),
        ..Which::default()
    };
    let commit = Which {
        commit: Some("bb".to_owned()),
        ..Which::default()
    };
    let both = Which {
        repository: Some("ACME/app".to_owned()),
        ..commit.clone()
    };

    assert_eq!(ask(prefix).await, [one]);
    assert_eq!(ask(commit).await, [three, two.clone()]);
    assert_eq!(ask(both).await, [two]);
}
