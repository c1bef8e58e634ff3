//! A pipeline from its push to its end, and what is refused on the way.

use api::people::{Event, EventKind};
use api::runner::task::Task;
use api::runner::{ErrorCode, path};
use api::{Cause, Outcome, PipelineOutcome};
use serde_json::{Value, json};

use crate::harness::{ONE_JOB, Repo, Server, TWO_JOBS, TaskAgent, job};

#[tokio::test]
async fn a_push_runs_its_jobs_in_order_and_ends_green() {
    let (repo, commit) = Repo::with_config("acme/app", TWO_JOBS);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;

    let pipeline = server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let build = TaskAgent::of(&server, &claim);
    let task: Task = build.task().await.ok();
    build.began(0).await.ok::<Value>();
    build.ended(0, 0).await.ok::<Value>();
    build.began(1).await.ok::<Value>();
    let stored = build.output(1, 1, "cc -o app\n").await.ok::<Value>();
    build.ended(1, 0).await.ok::<Value>();
    build.finish("succeeded", 1).await.ok::<Value>();
    let second = agent.claim(&server).await;
    TaskAgent::of(&server, &second).succeed().await;

    assert_eq!((claim.job.as_str(), second.job.as_str()), ("build", "test"));
    assert_eq!((task.job.as_str(), task.source.commit), ("build", commit));
    assert_eq!(
        (task.source.repository.as_str(), task.source.clone_url),
        ("acme/app", None)
    );
    assert_eq!(task.steps.len(), 3);
    assert_eq!(stored, json!({"stored": 1}));
    let id = pipeline.summary.id.as_str();
    let view = server
        .pipeline_when(id, |view| view.summary.outcome.is_some())
        .await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));
    let log = server
        .get(&server.admin, &format!("/api/v1/jobs/{}/log", claim.attempt.task))
        .await;
    assert_eq!(log.text(), "cc -o app\n");
    server.stop().await;
}

#[tokio::test]
async fn a_failed_step_fails_the_job_and_skips_what_needs_it() {
    let (repo, commit) = Repo::with_config("acme/app", TWO_JOBS);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;

    let pipeline = server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let build = TaskAgent::of(&server, &claim);
    build.task().await.ok::<Value>();
    build.finish("failed", 0).await.ok::<Value>();

    let id = pipeline.summary.id.as_str();
    let view = server
        .pipeline_when(id, |view| view.summary.outcome.is_some())
        .await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Failed));
    assert_eq!(job(&view, "build").cause, Some(Cause::Exit { code: 3 }));
    assert_eq!(job(&view, "test").outcome, Some(Outcome::Skipped));
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_finish_gets_its_first_answer_and_other_calls_are_gone() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    task.finish("succeeded", 0).await.ok::<Value>();

    let again = task.finish("succeeded", 0).await;
    let other = task.finish("failed", 0).await;
    let fetch = task.task().await;
    let fail =
        json!({"allocation": claim.attempt, "timestamp": 1, "message": "aGk=", "holder": agent.holder()});
    let fail = server.post(&agent.token, path::FAIL, &fail).await;

    again.ok::<Value>();
    for reply in [other, fetch, fail] {
        reply.refused(410, ErrorCode::Gone);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_second_start_of_the_place_is_gone() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let first = TaskAgent::of(&server, &claim);
    let second = TaskAgent {
        instance: "instance-2",
        ..TaskAgent::of(&server, &claim)
    };

    first.task().await.ok::<Value>();

    second.task().await.refused(410, ErrorCode::Gone);
    second.finish("succeeded", 0).await.refused(410, ErrorCode::Gone);
    first.began(0).await.ok::<Value>();
    server.stop().await;
}

#[tokio::test]
async fn a_finish_before_its_output_names_what_is_missing() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    task.output(0, 1, "one").await.ok::<Value>();

    let early = task
        .finish("succeeded", 2)
        .await
        .refused(409, ErrorCode::OutputMissing);
    task.output(0, 2, "two").await.ok::<Value>();
    task.finish("succeeded", 2).await.ok::<Value>();

    assert_eq!(early.first_missing, Some(2));
    server.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_given_back_is_claimed_again() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start_with(&[&repo], |config| config.terms.window = api::Millis(50)).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let first = agent.claim(&server).await;

    let body = json!({"task_id": first.attempt.task, "task_token": first.token});
    let unclaim = server.post(&first.token, path::UNCLAIM, &body).await;
    let second = agent.claim(&server).await;

    unclaim.ok::<Value>();
    assert_eq!(
        (second.attempt.task, second.attempt.number),
        (first.attempt.task, 2)
    );
    server.stop().await;
}

#[tokio::test]
async fn the_cause_that_an_agent_tells_in_the_window_is_the_one_that_is_kept() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    let pipeline = server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    for step in [0, 1] {
        task.began(step).await.ok::<Value>();
    }

    let fail = json!({"allocation": claim.attempt, "timestamp": 1, "message": "bG9zdA=="});
    task.post(path::FAIL, fail).await.ok::<Value>();
    let cause = json!({
        "attempt": claim.attempt, "holder": agent.holder(), "place_removed": true,
        "cause": {"kind": "evicted", "resource": "memory"},
    });
    server.post(&agent.token, path::CAUSE, &cause).await.ok::<Value>();

    let id = pipeline.summary.id.as_str();
    let view = server
        .pipeline_when(id, |view| view.summary.outcome.is_some())
        .await;
    let resource = "memory".to_owned();
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::InfraFailed));
    assert_eq!(job(&view, "build").cause, Some(Cause::Evicted { resource }));
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_good_for_its_own_attempt_and_calls_only() {
    let (repo, commit) = Repo::with_config("acme/app", TWO_JOBS.replace("requires: [build]", "").as_str());
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let one = agent.claim(&server).await;
    let two = agent.claim(&server).await;
    let phase = |attempt| json!({"attempt": attempt, "phase": "starting"});
    let nobody = api::Secret::new("nobody");

    server
        .post(&one.token, path::PHASE, &phase(&two.attempt))
        .await
        .refused(403, ErrorCode::Forbidden);
    server
        .post(&one.token, path::CLAIM, &agent.next_claim(0))
        .await
        .refused(403, ErrorCode::Forbidden);
    server
        .post(&nobody, path::CLAIM, &agent.next_claim(0))
        .await
        .refused(401, ErrorCode::Unauthorised);
    server
        .get(&agent.token, path::TASK)
        .await
        .refused(401, ErrorCode::Unauthorised);
    server
        .post(&agent.token, path::PHASE, &phase(&one.attempt))
        .await
        .refused(400, ErrorCode::Invalid);
    let swapped = json!({"task_id": two.attempt.task});
    server
        .post(&one.token, path::UNCLAIM, &swapped)
        .await
        .refused(403, ErrorCode::Forbidden);
    let other_class = server.class_token("acme/large").await;
    let stranger = json!({"attempt": one.attempt, "phase": "starting", "holder": agent.holder()});
    let refused = server.post(&other_class, path::PHASE, &stranger).await;
    assert!(refused.status.is_client_error(), "{}", refused.text());
    server
        .post(&one.token, path::PHASE, &phase(&one.attempt))
        .await
        .ok::<Value>();
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_json_of_the_right_shape_is_a_bad_request() {
    let server = Server::start(&[]).await;
    let agent = server.agent("agent-1").await;

    for body in [json!([]), json!({"holder": 1}), json!("claim")] {
        server
            .post(&agent.token, path::CLAIM, &body)
            .await
            .refused(400, ErrorCode::Invalid);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_broken_config_ends_the_pipeline_with_its_line() {
    let (repo, commit) = Repo::with_config("acme/app", "jobs:\n  build:\n    steps:\n      - frobnicate\n");
    let server = Server::start(&[&repo]).await;

    let view = server.push(&repo, &commit).await;

    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Failed));
    let Some(Cause::Config {
        file, line, message, ..
    }) = view.summary.cause
    else {
        panic!("{view:?}")
    };
    assert_eq!((file.as_str(), line), (".ci.yml", 4));
    assert!(message.contains("frobnicate"), "{message}");
    server.stop().await;
}

#[tokio::test]
async fn a_commit_without_a_config_says_where_it_was_looked_for() {
    let repo = Repo::new("acme/app");
    let commit = repo.commit("README", "hello");
    let server = Server::start(&[&repo]).await;

    let view = server.push(&repo, &commit).await;

    let Some(Cause::Config { message, line: 0, .. }) = view.summary.cause else {
        panic!("{view:?}")
    };
    assert!(
        message.contains(".ci.yml, .custom-ci.yml, .circleci/config.yml"),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_repository_that_cannot_be_cloned_ends_with_gits_own_words() {
    let gone = Repo::new("acme/gone");
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let server = Server::start_with(&[&repo, &gone], |config| {
        let url = format!("http://127.0.0.1:{port}/away.git");
        let away = server::config::Repository::new("acme/away", &url).unwrap();
        config.repositories.push(away);
    })
    .await;
    std::fs::remove_dir_all(gone.path()).unwrap();
    let away = Repo::new("acme/away");
    let unknown = "0123456789abcdef0123456789abcdef01234567";

    let missing = server.push(&gone, &commit).await;
    let refused = server.push(&away, &commit).await;
    let no_commit = server.push(&repo, unknown).await;

    for (view, words, is_certain) in [
        (missing, "does not appear to be a git repository", true),
        (refused, "Failed to connect", false),
        (no_commit, "not our ref", true),
    ] {
        let Some(Cause::Clone { message, certain }) = view.summary.cause else {
            panic!("{view:?}")
        };
        assert_eq!(view.summary.outcome, Some(PipelineOutcome::InfraFailed));
        assert!(message.contains(words), "{message}");
        assert_eq!(certain, is_certain, "{message}");
    }
    std::fs::create_dir_all(gone.path()).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn events_tell_the_whole_story_in_order() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    let pipeline = server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    task.began(1).await.ok::<Value>();
    task.output(1, 1, "hello\n").await.ok::<Value>();
    task.ended(1, 0).await.ok::<Value>();
    task.finish("succeeded", 1).await.ok::<Value>();

    let path = format!("/api/v1/pipelines/{}/events", pipeline.summary.id);
    let stream = server.get(&server.admin, &path).await.text();

    let events: Vec<Event> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let place = |wanted: fn(&EventKind) -> bool| events.iter().position(|event| wanted(&event.what)).unwrap();
    let order = [
        place(|what| matches!(what, EventKind::JobStarted { .. })),
        place(|what| matches!(what, EventKind::StepStarted { .. })),
        place(|what| matches!(what, EventKind::StepOutput { text, .. } if text == "hello\n")),
        place(|what| matches!(what, EventKind::StepFinished { exit_code: 0, .. })),
        place(|what| {
            matches!(
                what,
                EventKind::JobFinished {
                    outcome: Outcome::Succeeded,
                    ..
                }
            )
        }),
        place(|what| matches!(what, EventKind::PipelineFinished { .. })),
    ];
    assert!(order.is_sorted(), "{events:#?}");
    assert_eq!(order[5], events.len() - 1);
    server.stop().await;
}
