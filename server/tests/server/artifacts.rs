//! Artifacts: sent whole or not at all.

use api::runner::ErrorCode;
use api::runner::claim::Claim;
use api::runner::path;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ONE_JOB, Repo, Server, TaskAgent, sha256};

async fn claimed(server: &Server, repo: &Repo, commit: &str) -> Claim {
    let mut agent = server.agent("agent-1").await;
    server.push(repo, commit).await;
    agent.claim(server).await
}

#[tokio::test]
async fn an_artifact_is_downloaded_as_it_was_sent() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let claim = claimed(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();

    task.upload("bin/my%20app", &content, &sha256(&content))
        .await
        .ok::<Value>();
    task.upload("bin/my%20app", &content, &sha256(&content))
        .await
        .ok::<Value>();

    let path = format!("/api/v1/jobs/{}/artifacts/bin/my%20app", claim.attempt.task);
    let server = server.restart().await;
    let request = server
        .request(Method::GET, &path)
        .bearer_auth(server.admin.expose());
    let response = request.send().await.unwrap();
    let headers = response.headers().clone();
    assert_eq!(headers["content-length"], "300000");
    assert_eq!(headers["x-goatherd-sha256"], sha256(&content).as_str());
    assert_eq!(
        headers["content-disposition"],
        "attachment; filename*=UTF-8''my%20app"
    );
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(response.bytes().await.unwrap(), content);
    server.stop().await;
}

#[tokio::test]
async fn an_artifact_that_is_not_what_was_announced_is_not_kept() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start_with(&[&repo], |config| config.largest_artifact = 100).await;
    let claim = claimed(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();

    let other = task.upload("app", b"app", &sha256(b"other")).await;
    let no_sum = task.upload("app", b"app", "abc").await;
    let large = task.upload("app", &[0; 101], &sha256(&[0; 101])).await;

    assert!(
        other
            .refused(400, ErrorCode::Invalid)
            .message
            .contains("checksum")
    );
    no_sum.refused(400, ErrorCode::Invalid);
    large.refused(413, ErrorCode::TooLarge);
    let path = format!("/api/v1/jobs/{}/artifacts/app", claim.attempt.task);
    server
        .get(&server.admin, &path)
        .await
        .refused(404, ErrorCode::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let claim = claimed(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();

    for name in [
        "..%2fapp",
        "a%2f..%2fb",
        "%2fetc%2fpasswd",
        "a%00b",
        "a//b",
        "a%5cb",
        "a%0ab",
    ] {
        let reply = task.upload(name, b"app", &sha256(b"app")).await;

        reply.refused(400, ErrorCode::Invalid);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_file_where_another_artifact_needs_a_folder_is_refused() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let claim = claimed(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    let sum = sha256(b"app");
    for name in ["x", "a/b", "x"] {
        task.upload(name, b"app", &sum).await.ok::<Value>();
    }

    let inside = task.upload("x/y", b"app", &sum).await;
    let above = task.upload("a", b"app", &sum).await;

    let sentence = inside.refused(409, ErrorCode::Conflict).message;
    assert!(sentence.contains("`x/y` beside `x`"), "{sentence}");
    let sentence = above.refused(409, ErrorCode::Conflict).message;
    assert!(sentence.contains("`a` beside `a/b`"), "{sentence}");
    server.stop().await;
}

#[tokio::test]
async fn only_the_artifacts_of_the_attempt_that_counts_are_there() {
    let config = "jobs: {build: {retry: infra, steps: [checkout, run: make]}}\n";
    let (repo, commit) = Repo::with_config("acme/app", config);
    let server = Server::start_with(&[&repo], |config| config.terms.window = api::Millis(50)).await;
    let mut agent = server.agent("agent-1").await;
    let pipeline = server.push(&repo, &commit).await;
    let first = agent.claim(&server).await;
    let lost = TaskAgent::of(&server, &first);
    lost.task().await.ok::<Value>();
    for step in [0, 1] {
        lost.began(step).await.ok::<Value>();
    }
    for name in ["x", "only-of-the-first"] {
        lost.upload(name, b"one", &sha256(b"one")).await.ok::<Value>();
    }
    let fail = json!({"allocation": first.attempt, "timestamp": 1, "message": "bG9zdA=="});
    lost.post(path::FAIL, fail).await.ok::<Value>();
    let gone = json!({
        "attempt": first.attempt, "holder": agent.holder(), "place_removed": true,
        "cause": {"kind": "evicted", "resource": "memory"},
    });
    server.post(&agent.token, path::CAUSE, &gone).await.ok::<Value>();
    agent.holds.clear();

    let second = agent.claim(&server).await;
    let task = TaskAgent::of(&server, &second);
    task.task().await.ok::<Value>();
    task.upload("x/y", b"two", &sha256(b"two")).await.ok::<Value>();
    task.finish("succeeded", 0).await.ok::<Value>();

    assert_eq!(second.attempt.number, 2);
    let view = server.pipeline(pipeline.summary.id.as_str()).await;
    let names: Vec<&str> = view.jobs[0]
        .artifacts
        .iter()
        .map(|artifact| artifact.name.as_str())
        .collect();
    assert_eq!(names, ["x/y"]);
    let get = async |name: &str| {
        let path = format!("/api/v1/jobs/{}/artifacts/{name}", second.attempt.task);
        server.get(&server.admin, &path).await
    };
    assert_eq!(get("x/y").await.text(), "two");
    for name in ["x", "only-of-the-first"] {
        get(name).await.refused(404, ErrorCode::NotFound);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_over_sends_nothing_more() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let claim = claimed(&server, &repo, &commit).await;
    let task = TaskAgent::of(&server, &claim);
    task.succeed().await;

    let reply = task.upload("app", b"app", &sha256(b"app")).await;

    reply.refused(410, ErrorCode::Gone);
    server.stop().await;
}
