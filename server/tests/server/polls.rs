//! Calls that wait: for a task, for a cancel, for the server's end.

use std::time::{Duration, Instant};

use api::runner::claim::Claim;
use api::runner::{ErrorCode, path};
use api::{Cause, Outcome, PipelineOutcome};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Agent, ONE_JOB, Repo, Server, TaskAgent, job, within};

/// What a waiting call must come back before, when it is woken and does not run out.
const SOON: Duration = Duration::from_secs(10);

async fn running(server: &Server, repo: &Repo, commit: &str) -> (Agent, Claim, String) {
    let mut agent = server.agent("agent-1").await;
    let pipeline = server.push(repo, commit).await;
    let claim = agent.claim(server).await;
    (agent, claim, pipeline.summary.id.to_string())
}

#[tokio::test]
async fn a_waiting_claim_gets_the_task_that_comes() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    let begun = Instant::now();

    let (claim, _) = tokio::join!(agent.claim(&server), server.push(&repo, &commit));

    assert_eq!(claim.job, "build");
    assert!(begun.elapsed() < SOON);
    server.stop().await;
}

#[tokio::test]
async fn a_claim_that_is_repeated_gets_the_same_task_and_one_that_ran_out_is_closed() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    let nothing = agent.next_claim(0);
    let request = agent.next_claim(20_000);

    let empty = server.post(&agent.token, path::CLAIM, &nothing).await;
    server.push(&repo, &commit).await;
    let first: Claim = server.post(&agent.token, path::CLAIM, &request).await.ok();
    let repeated: Claim = server.post(&agent.token, path::CLAIM, &request).await.ok();
    let closed = server.post(&agent.token, path::CLAIM, &nothing).await;

    assert_eq!(empty.status, 204);
    assert_eq!(first, repeated);
    closed.refused(410, ErrorCode::Gone);
    server.stop().await;
}

#[tokio::test]
async fn a_cancel_wakes_heartbeat_and_presence() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let (agent, claim, id) = running(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    let presence = json!({
        "holder": agent.holder(), "reach": "boot:place", "wait": 20_000,
        "holds": [{"attempt": claim.attempt}],
    });
    let begun = Instant::now();

    let cancel = async {
        let path = format!("/api/v1/pipelines/{id}/cancel");
        server
            .post(&server.admin, &path, &json!({"why": "wrong branch"}))
            .await
            .ok::<Value>();
    };
    let (heartbeat, presence, ()) = tokio::join!(
        task.post(path::HEARTBEAT, json!({"wait": 20_000})),
        server.post(&agent.token, path::PRESENCE, &presence),
        cancel,
    );

    let order = json!({"by": "admin", "why": "wrong branch"});
    assert_eq!(heartbeat.ok::<Value>()["cancel"], order);
    assert_eq!(presence.ok::<Value>()["attempts"][0]["cancel"], order);
    assert!(begun.elapsed() < SOON);
    task.began(1).await.refused(409, ErrorCode::Cancelling);
    task.finish("cancelled", 0).await.ok::<Value>();
    let view = server
        .pipeline_when(&id, |view| view.summary.outcome.is_some())
        .await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Cancelled));
    assert_eq!(job(&view, "build").outcome, Some(Outcome::Cancelled));
    assert!(
        matches!(&job(&view, "build").cause, Some(Cause::Cancelled { why, .. }) if why == "wrong branch")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_cancel_that_was_seen_is_no_news() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let (_agent, claim, _) = running(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    let cancel = format!("/api/v1/jobs/{}/cancel", claim.attempt.task);
    server
        .call(
            server
                .request(Method::POST, &cancel)
                .bearer_auth(server.admin.expose()),
        )
        .await
        .ok::<Value>();
    let begun = Instant::now();

    let heartbeat = task
        .post(path::HEARTBEAT, json!({"wait": 300, "cancel_seen": true}))
        .await;

    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(heartbeat.ok::<Value>()["cancel"]["by"], "admin");
    server.stop().await;
}

#[tokio::test]
async fn an_attempt_that_ends_while_its_heartbeat_waits_is_gone() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let (agent, claim, _) = running(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    let removed = json!({"attempt": claim.attempt, "holder": agent.holder(), "place_removed": true});
    let begun = Instant::now();

    let (heartbeat, removed) = tokio::join!(
        task.post(path::HEARTBEAT, json!({"wait": 20_000})),
        server.post(&agent.token, path::CAUSE, &removed),
    );

    removed.ok::<Value>();
    heartbeat.refused(410, ErrorCode::Gone);
    assert!(begun.elapsed() < SOON);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_whoever_waits() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let (mut agent, claim, id) = running(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    let claim = agent.next_claim(20_000);
    let events = format!("/api/v1/pipelines/{id}/events");
    let begun = Instant::now();

    let stop = async {
        // Not before the others wait: each of these calls goes all the way through the server behind them.
        for _ in 0..10 {
            server.get(&server.admin, "/ready").await;
        }
        server.ask_to_stop();
    };
    let (claimed, heartbeat, events, ()) = tokio::join!(
        server.post(&agent.token, path::CLAIM, &claim),
        task.post(path::HEARTBEAT, json!({"wait": 20_000})),
        server.get(&server.admin, &events),
        stop,
    );

    assert_eq!(claimed.status, 204);
    assert_eq!(heartbeat.ok::<Value>(), json!({}));
    assert!(events.text().contains("job.started"));
    assert!(begun.elapsed() < SOON);
    within(server.stop()).await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_by_the_servers_own_clock() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start_with(&[&repo], |config| {
        config.terms.lease_before = api::Millis(300);
        config.terms.window = api::Millis(50);
    })
    .await;
    let (mut agent, first, _) = running(&server, &repo, &commit).await;

    let second = agent.claim(&server).await;

    assert_eq!(
        (second.attempt.task, second.attempt.number),
        (first.attempt.task, 2)
    );
    server.stop().await;
}
