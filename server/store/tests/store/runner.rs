//! The runner API's calls, from agents and from places.

use api::runner::presence::{AdoptionResult, Life, StatusRequest, Whose};
use api::runner::task::StepEvent;
use api::{AttemptRef, Cause, Outcome, PipelineOutcome, TaskId};
use store::{Refusal, Reporter};

use super::bench::{AgentBench, Bench, CLASS, TaskBench, chunk, plan, short};

async fn claimed(bench: &Bench) -> (api::PipelineId, AgentBench, AttemptRef) {
    let pipeline = bench.started(plan(&[("build", &[])])).await;
    let mut agent = AgentBench::new(bench, "a");
    let claim = agent.claim().await.unwrap();
    (pipeline, agent, claim.attempt)
}

#[tokio::test]
async fn a_task_comes_with_all_that_its_agent_needs() {
    let bench = Bench::new().await;
    let (pipeline, _, attempt) = claimed(&bench).await;
    let place = TaskBench::new(&bench, &attempt);
    place.output(vec![chunk(1, "a")]).await.unwrap();

    let task = bench.store.task(&attempt, place.instance).await.unwrap().unwrap();

    assert_eq!((task.pipeline, task.job.as_str()), (pipeline, "build"));
    assert_eq!(task.steps.len(), 2);
    assert_eq!(task.working_directory, "~/project");
    assert_eq!(task.stored, 1);
    let variable = |name: &str| task.environment.get(name).map(String::as_str);
    assert_eq!(variable("CI"), Some("true"));
    assert_eq!(variable("CIRCLE_JOB"), Some("build"));
    assert_eq!(variable("CIRCLE_SHA1"), Some(task.commit.as_str()));
    assert_eq!(variable("CIRCLE_BRANCH"), Some("main"));
    assert_eq!(variable("CIRCLE_TAG"), None);
    assert_eq!(variable("CI_ATTEMPT"), Some("1"));
    assert_eq!(variable("MINE"), Some("1"));
}

#[tokio::test]
async fn a_second_start_of_the_place_is_refused_and_changes_nothing() {
    let bench = Bench::new().await;
    let (pipeline, _, attempt) = claimed(&bench).await;
    let first = TaskBench::of(&bench, &attempt, "first");
    let second = TaskBench::of(&bench, &attempt, "second");
    bench
        .store
        .task(&attempt, first.instance.clone())
        .await
        .unwrap()
        .unwrap();
    let before = bench.view(&pipeline).await;

    assert_eq!(
        bench.store.task(&attempt, second.instance.clone()).await.unwrap(),
        Err(Refusal::Gone)
    );
    assert_eq!(second.step(1, StepEvent::Began).await, Err(Refusal::Gone));
    assert_eq!(second.output(vec![chunk(1, "x")]).await, Err(Refusal::Gone));
    assert_eq!(second.finish(Outcome::Succeeded, 0).await, Err(Refusal::Gone));

    assert_eq!(bench.view(&pipeline).await, before);
    assert_eq!(first.finish(Outcome::Succeeded, 0).await, Ok(()));
}

#[tokio::test]
async fn a_heartbeat_writes_nothing_and_wakes_nobody() {
    let bench = Bench::new().await;
    let (_, agent, attempt) = claimed(&bench).await;
    let place = TaskBench::new(&bench, &attempt);
    let store = &bench.store;
    store
        .heartbeat(&attempt, place.instance.clone())
        .await
        .unwrap()
        .unwrap();
    store.presence(CLASS, &agent.presence()).await.unwrap().unwrap();
    let size = || {
        std::fs::metadata(bench.path().join("goatherd.sqlite-wal"))
            .unwrap()
            .len()
    };
    let before = size();
    let mut changes = store.changes();
    changes.mark_unchanged();

    for _ in 0..10 {
        store
            .heartbeat(&attempt, place.instance.clone())
            .await
            .unwrap()
            .unwrap();
        store.presence(CLASS, &agent.presence()).await.unwrap().unwrap();
        store.tick().await.unwrap();
    }

    assert_eq!(size(), before);
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_repeated_finish_gets_its_first_answer_also_after_a_restart() {
    let bench = Bench::new().await;
    let (pipeline, _, attempt) = claimed(&bench).await;
    TaskBench::new(&bench, &attempt)
        .finish(Outcome::Succeeded, 0)
        .await
        .unwrap();
    let before = (bench.view(&pipeline).await, bench.events(&pipeline).await);

    let bench = bench.restart().await;
    let place = TaskBench::new(&bench, &attempt);

    assert_eq!(place.finish(Outcome::Succeeded, 0).await, Ok(()));
    assert_eq!(place.finish(Outcome::Failed, 0).await, Err(Refusal::Gone));
    assert_eq!(
        (bench.view(&pipeline).await, bench.events(&pipeline).await),
        before
    );
}

#[tokio::test]
async fn a_need_that_ended_as_required_lets_the_next_job_go() {
    let bench = Bench::new().await;
    let pipeline = bench.started(plan(&[("build", &[]), ("test", &["build"])])).await;
    let mut agent = AgentBench::new(&bench, "a");
    let build = agent.claim().await.unwrap();
    assert!(agent.claim().await.is_none());
    let mut changes = bench.store.changes();
    changes.mark_unchanged();

    let place = TaskBench::new(&bench, &build.attempt);
    place.finish(Outcome::Succeeded, 0).await.unwrap();

    assert!(changes.has_changed().unwrap());
    let test = agent.claim().await.unwrap();
    assert_eq!(test.job, "test");
    let place = TaskBench::new(&bench, &test.attempt);
    place.finish(Outcome::Succeeded, 0).await.unwrap();
    let view = bench.view(&pipeline).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));
}

#[tokio::test]
async fn an_attempt_that_was_given_back_is_queued_again_after_its_window() {
    let bench = Bench::with(short()).await;
    let (pipeline, agent, attempt) = claimed(&bench).await;
    bench
        .store
        .phase(agent.reporter(), &attempt, api::Phase::Scheduling, String::new())
        .await
        .unwrap()
        .unwrap();

    let answer = bench
        .store
        .unclaim(agent.reporter(), &attempt, "no room".to_owned())
        .await;

    assert_eq!(answer.unwrap(), Ok(()));
    let job = bench.until(&pipeline, "build", "queued").await;
    let cause = job.attempts[0].cause.clone();
    assert_eq!(
        cause,
        Some(Cause::Internal {
            message: "no room".to_owned()
        })
    );
    assert!(bench.actions().await.contains(&"attempt.requeued".to_owned()));
}

#[tokio::test]
async fn a_window_goes_on_over_a_restart() {
    let bench = Bench::with(short()).await;
    let (pipeline, agent, attempt) = claimed(&bench).await;
    let store = &bench.store;
    store
        .fail(agent.reporter(), &attempt, "broken".to_owned())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.job(&pipeline, "build").await.state, "running");

    let bench = bench.restart().await;

    bench.until(&pipeline, "build", "queued").await;
}

#[tokio::test]
async fn a_cause_with_the_place_removed_ends_the_window_at_once() {
    let bench = Bench::new().await;
    let (pipeline, agent, attempt) = claimed(&bench).await;
    let certain = Cause::ImagePull {
        image: "debian".to_owned(),
        message: "no such image".to_owned(),
        certain: true,
    };

    bench
        .store
        .cause(agent.reporter(), &attempt, Some(certain.clone()), true)
        .await
        .unwrap()
        .unwrap();

    let job = bench.job(&pipeline, "build").await;
    assert_eq!(job.state, "infra_failed");
    assert_eq!(job.cause, Some(certain));
}

#[tokio::test]
async fn a_task_that_nobody_hears_of_is_queued_again() {
    let bench = Bench::with(short()).await;
    let (pipeline, _, _) = claimed(&bench).await;

    let job = bench.until(&pipeline, "build", "queued").await;

    assert_eq!(job.attempts[0].cause, Some(Cause::AgentLost));
}

#[tokio::test]
async fn a_restart_renews_leases_and_presence() {
    let bench = Bench::with(short()).await;
    let (pipeline, agent, attempt) = claimed(&bench).await;
    let ends = bench.store.tick().await.unwrap().unwrap();
    // Longer than any lease: without the restart, the next tick would close it.
    while bench.store.now() <= ends {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    let bench = bench.restart().await;
    let next = bench.store.tick().await.unwrap().unwrap();

    assert!(next > ends);
    assert_eq!(bench.job(&pipeline, "build").await.state, "running");
    let other = AgentBench::new(&bench, "b");
    let request = other.adopt(&attempt, &agent.holder);
    let answer = bench.store.adopt(CLASS, &request).await.unwrap().unwrap();
    assert_eq!(answer.attempts[0].result, AdoptionResult::Refused);
}

#[tokio::test]
async fn what_an_absent_agent_holds_is_adopted_once() {
    let bench = Bench::with(short()).await;
    let (pipeline, agent, attempt) = claimed(&bench).await;
    let place = TaskBench::new(&bench, &attempt);
    place.step(1, StepEvent::Began).await.unwrap();
    let (b, c) = (AgentBench::new(&bench, "b"), AgentBench::new(&bench, "c"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);

    loop {
        bench
            .store
            .heartbeat(&attempt, place.instance.clone())
            .await
            .unwrap()
            .unwrap();
        bench.store.tick().await.unwrap();
        let answer = bench.store.adopt(CLASS, &b.adopt(&attempt, &agent.holder)).await;
        match answer.unwrap().unwrap().attempts.remove(0).result {
            AdoptionResult::Adopted { .. } => break,
            _ => assert!(std::time::Instant::now() < deadline),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    let too_late = bench.store.adopt(CLASS, &c.adopt(&attempt, &agent.holder)).await;
    assert_eq!(
        too_late.unwrap().unwrap().attempts[0].result,
        AdoptionResult::Refused
    );
    let standing = bench
        .store
        .presence(CLASS, &agent.presence())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(standing.attempts[0].whose, Whose::Moved);
    assert!(bench.actions().await.contains(&"attempt.adopted".to_owned()));
    place.finish(Outcome::Succeeded, 0).await.unwrap();
    assert_eq!(bench.job(&pipeline, "build").await.state, "succeeded");
}

#[tokio::test]
async fn an_older_process_of_an_agent_is_gone() {
    let bench = Bench::new().await;
    let (_, old, attempt) = claimed(&bench).await;
    let mut new = old.clone();
    new.holder.incarnation = 2;

    let standing = bench
        .store
        .presence(CLASS, &new.presence())
        .await
        .unwrap()
        .unwrap();

    assert_eq!(standing.attempts[0].whose, Whose::Yours);
    let store = &bench.store;
    assert_eq!(
        store.presence(CLASS, &old.presence()).await.unwrap(),
        Err(Refusal::Gone)
    );
    assert_eq!(
        store.claim(CLASS, &old.request()).await.unwrap(),
        Err(Refusal::Gone)
    );
    assert_eq!(
        store
            .unclaim(old.reporter(), &attempt, String::new())
            .await
            .unwrap(),
        Err(Refusal::Gone)
    );
}

#[tokio::test]
async fn an_agent_id_in_another_reach_is_forbidden() {
    let bench = Bench::new().await;
    let (_, agent, _) = claimed(&bench).await;
    let mut clone = agent.clone();
    clone.reach.0 = "elsewhere".to_owned();

    let refused = bench.store.presence(CLASS, &clone.presence()).await.unwrap();

    assert!(matches!(refused, Err(Refusal::Forbidden(_))), "{refused:?}");
}

#[tokio::test]
async fn an_agent_of_another_class_cannot_report() {
    let bench = Bench::new().await;
    let (_, agent, attempt) = claimed(&bench).await;
    let other = Reporter::Agent {
        class: "large".to_owned(),
        holder: agent.holder.clone(),
    };

    let refused = bench.store.fail(other, &attempt, String::new()).await.unwrap();

    assert!(matches!(refused, Err(Refusal::Forbidden(_))), "{refused:?}");
}

#[tokio::test]
async fn the_server_says_which_attempts_live() {
    let bench = Bench::new().await;
    let (_, agent, open) = claimed(&bench).await;
    let over = {
        bench.started(plan(&[("second", &[])])).await;
        let claim = agent.clone().claim().await.unwrap();
        TaskBench::new(&bench, &claim.attempt)
            .finish(Outcome::Succeeded, 0)
            .await
            .unwrap();
        claim.attempt
    };
    let never = AttemptRef::new(open.task.clone(), 9);
    let foreign = AttemptRef::new(TaskId::new("foreign").unwrap(), 1);
    let request = StatusRequest {
        attempts: vec![open, over, never, foreign],
    };

    let answer = bench
        .store
        .attempts_status(CLASS, &request)
        .await
        .unwrap()
        .unwrap();

    let lives: Vec<_> = answer.attempts.iter().map(|status| status.life).collect();
    assert_eq!(lives, [Life::Live, Life::Over, Life::Unknown, Life::Unknown]);
    assert_eq!(answer.attempts[0].holder, Some(agent.holder));
}

#[tokio::test]
async fn the_attempts_of_an_agent_that_is_known_gone_end_at_once() {
    let bench = Bench::new().await;
    let (pipeline, agent, attempt) = claimed(&bench).await;

    bench.store.holder_gone(&agent.holder.agent).await.unwrap();

    let job = bench.job(&pipeline, "build").await;
    assert_eq!(job.state, "queued");
    assert_eq!(job.attempts[0].cause, Some(Cause::AgentLost));
    let place = TaskBench::new(&bench, &attempt);
    assert_eq!(place.step(1, StepEvent::Began).await, Err(Refusal::Gone));
}

#[tokio::test]
async fn an_artifact_is_noted_once_and_found_by_its_name() {
    let bench = Bench::new().await;
    let (pipeline, _, attempt) = claimed(&bench).await;
    let place = TaskBench::new(&bench, &attempt);
    let store = &bench.store;
    for (name, size, sha256) in [("a/b", 1, "aa"), ("a/b", 1, "aa"), ("c", 2, "cc"), ("c", 3, "dd")] {
        let added = store.add_artifact(&attempt, place.instance.clone(), name, size, sha256);
        added.await.unwrap().unwrap();
    }

    let (of, found) = store.artifact(&attempt.task, "c").await.unwrap().unwrap();
    assert_eq!(
        (of, found.size, found.sha256.as_str()),
        (attempt.clone(), 3, "dd")
    );
    assert!(store.artifact(&attempt.task, "d").await.unwrap().is_none());
    let names: Vec<_> = bench.job(&pipeline, "build").await.artifacts;
    assert_eq!(
        names.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["a/b", "c"]
    );
    let stored = bench
        .actions()
        .await
        .into_iter()
        .filter(|action| action == "artifact.stored");
    assert_eq!(stored.count(), 3);

    place.finish(Outcome::Succeeded, 0).await.unwrap();
    let late = store
        .add_artifact(&attempt, place.instance, "e", 1, "ee")
        .await
        .unwrap();
    assert_eq!(late, Err(Refusal::Gone));
}

#[tokio::test]
async fn an_artifact_is_no_file_where_another_needs_a_folder() {
    let bench = Bench::new().await;
    let (pipeline, _, attempt) = claimed(&bench).await;
    let place = TaskBench::new(&bench, &attempt);
    let add = |name: &'static str| {
        let added = bench
            .store
            .add_artifact(&attempt, place.instance.clone(), name, 1, "aa");
        async { added.await.unwrap() }
    };
    for name in ["x", "x", "a/b/c", "x.txt", "x0", "a/b/d"] {
        assert_eq!(add(name).await, Ok(()), "{name}");
    }

    for (name, other) in [
        ("x/y", "`x`"),
        ("x/y/z", "`x`"),
        ("a", "`a/b/c`"),
        ("a/b", "`a/b/c`"),
    ] {
        match add(name).await {
            Err(Refusal::Conflict(sentence)) => assert!(sentence.contains(other), "{sentence}"),
            taken => panic!("{name}: {taken:?}"),
        }
    }

    assert_eq!(bench.job(&pipeline, "build").await.artifacts.len(), 5);
}

#[tokio::test]
async fn a_step_that_the_plan_does_not_have_is_invalid() {
    let bench = Bench::new().await;
    let (_, _, attempt) = claimed(&bench).await;

    let refused = TaskBench::new(&bench, &attempt).step(7, StepEvent::Began).await;

    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
}

#[tokio::test]
async fn an_attempt_that_never_was_is_not_found() {
    let bench = Bench::new().await;
    let never = AttemptRef::new(TaskId::new("never").unwrap(), 1);
    let place = TaskBench::new(&bench, &never);

    assert_eq!(place.output(vec![chunk(1, "x")]).await, Err(Refusal::NotFound));
    assert_eq!(place.finish(Outcome::Succeeded, 0).await, Err(Refusal::NotFound));
    assert_eq!(place.step(0, StepEvent::Began).await, Err(Refusal::NotFound));
    let task = bench.store.task(&never, place.instance).await.unwrap();
    assert_eq!(task, Err(Refusal::NotFound));
}
