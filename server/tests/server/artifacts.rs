//! Artifacts: sent whole or not at all.

use api::runner::ErrorCode;
use api::runner::claim::Claim;
use reqwest::Method;
use serde_json::Value;

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
