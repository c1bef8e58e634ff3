//! Webhooks, good and bad.

use api::people::PipelineSummary;
use api::runner::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{ONE_JOB, Repo, SECRET, Server, push_payload, signature, within};

async fn pipelines(server: &Server) -> usize {
    let list: Vec<PipelineSummary> = server.get(&server.admin, "/api/v1/pipelines").await.ok();
    list.len()
}

#[tokio::test]
async fn a_signed_push_is_accepted_once_it_is_durable() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;

    let reply = server
        .deliver("push", "d-1", &push_payload("acme/app", &commit))
        .await;

    assert_eq!(reply.status, 202);
    let id = reply.json::<Value>()["pipeline"].as_str().unwrap().to_owned();
    let server = server.restart().await;
    let view = server.pipeline_when(&id, |view| !view.jobs.is_empty()).await;
    assert_eq!(
        (view.summary.repository.as_str(), view.summary.commit),
        ("acme/app", commit)
    );
    server.stop().await;
}

#[tokio::test]
async fn every_hook_is_tried_where_none_is_named() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start_with(&[&repo], |config| {
        let other = server::config::Hook::new("other", "github", api::Secret::new("other-secret")).unwrap();
        config.hooks.insert(0, other);
    })
    .await;
    let body = push_payload("acme/app", &commit);
    let by_first = signature("other-secret", &body);
    let by_second = signature(SECRET, &body);

    let second = server
        .call(server.delivery("/webhook", "push", "d-1", &body, &by_second))
        .await;
    let wrong_door = server
        .call(server.delivery("/webhook/github", "push", "d-2", &body, &by_first))
        .await;

    assert_eq!(second.status, 202);
    wrong_door.refused(401, ErrorCode::Unauthorised);
    server.stop().await;
}

#[tokio::test]
async fn a_missing_or_wrong_signature_is_refused_before_anything_is_read() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let body = push_payload("acme/app", &commit);
    let good = signature(SECRET, &body);

    let missing = server
        .request(reqwest::Method::POST, "/webhook/github")
        .header("X-GitHub-Event", "push");
    let missing = server
        .call(missing.header("X-Hub-Signature", "sha1=00").body(body.clone()))
        .await;
    let wrong = signature("guess", &body);
    let wrong = server
        .call(server.delivery("/webhook/github", "push", "d-1", &body, &wrong))
        .await;
    let no_json = server
        .call(server.delivery("/webhook/github", "push", "d-2", b"no json", &good))
        .await;

    assert!(
        missing
            .refused(401, ErrorCode::Unauthorised)
            .message
            .contains("X-Hub-Signature-256")
    );
    wrong.refused(401, ErrorCode::Unauthorised);
    no_json.refused(401, ErrorCode::Unauthorised);
    assert_eq!(pipelines(&server).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_delivery_or_body_makes_no_second_pipeline() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let body = push_payload("acme/app", &commit);
    let other_body = push_payload("acme/app", &repo.commit("a", "b"));

    let first = server.deliver("push", "d-1", &body).await;
    let same_id = server.deliver("push", "d-1", &other_body).await;
    let same_body = server.deliver("push", "d-2", &body).await;

    assert_eq!(
        (
            first.status.as_u16(),
            same_id.status.as_u16(),
            same_body.status.as_u16()
        ),
        (202, 200, 200)
    );
    let pipeline = first.json::<Value>()["pipeline"].clone();
    for repeat in [same_id, same_body] {
        assert_eq!(
            repeat.json::<Value>(),
            serde_json::json!({"pipeline": pipeline, "repeated": true})
        );
    }
    assert_eq!(pipelines(&server).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_signed_body_that_is_no_json_is_a_bad_request() {
    let server = Server::start(&[]).await;

    let reply = server.deliver("push", "d-1", b"{\"ref\": ").await;

    reply.refused(400, ErrorCode::Invalid);
    server.stop().await;
}

#[tokio::test]
async fn a_repository_that_the_server_does_not_know_is_not_cloned() {
    let (repo, commit) = Repo::with_config("acme/secret", ONE_JOB);
    let server = Server::start(&[]).await;

    let reply = server
        .deliver("push", "d-1", &push_payload(&repo.name, &commit))
        .await;

    let error = reply.refused(404, ErrorCode::NotFound);
    assert!(error.message.contains("acme/secret"));
    assert_eq!(pipelines(&server).await, 0);
    assert!(!server.data.path().join("git/acme").exists());
    server.stop().await;
}

#[tokio::test]
async fn pings_deletes_and_skips_are_answered_and_start_nothing() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut deleted: Value = serde_json::from_slice(&push_payload("acme/app", &commit)).unwrap();
    deleted["deleted"] = true.into();
    let mut skipped: Value = serde_json::from_slice(&push_payload("acme/app", &commit)).unwrap();
    skipped["head_commit"]["message"] = "Mend a typo [skip ci]".into();

    let ping = server
        .deliver(
            "ping",
            "d-1",
            b"{\"zen\": \"Anything added dilutes everything else.\"}",
        )
        .await;
    let deleted = server
        .deliver("push", "d-2", deleted.to_string().as_bytes())
        .await;
    let skipped = server
        .deliver("push", "d-3", skipped.to_string().as_bytes())
        .await;

    for (reply, why) in [
        (ping, "ping"),
        (deleted, "refs/heads/main was deleted"),
        (skipped, "the head commit says [skip ci]"),
    ] {
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json::<Value>(), serde_json::json!({"ignored": why}));
    }
    assert_eq!(pipelines(&server).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_body_over_25_mib_is_too_large_and_one_of_25_mib_is_not() {
    let server = Server::start(&[]).await;
    let limit = 25 * 1024 * 1024;

    let large = server.deliver("ping", "d-1", &vec![b' '; limit + 1]).await;
    let mut fits = vec![b' '; limit - 2];
    fits.extend(b"{}");
    let fits = server.deliver("ping", "d-2", &fits).await;

    large.refused(413, ErrorCode::TooLarge);
    assert_eq!(fits.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_announced_far_too_large_is_not_read_at_all() {
    let server = Server::start(&[]).await;
    let mut socket = tokio::net::TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();

    let head = "POST /webhook/github HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();

    let mut answer = vec![0; 12];
    within(socket.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_hook_that_does_not_exist_is_not_found() {
    let server = Server::start(&[]).await;

    let reply = server
        .call(server.delivery("/webhook/gitlab", "push", "d-1", b"{}", "sha256=00"))
        .await;

    reply.refused(404, ErrorCode::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn an_accepted_push_is_in_the_audit_log() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;

    let view = server.push(&repo, &commit).await;

    let audit: Vec<api::people::AuditEntry> = server.get(&server.admin, "/api/v1/audit").await.ok();
    let found = audit.iter().any(|entry| {
        entry.actor == "webhook github"
            && (entry.subject == view.summary.id.as_str() || entry.detail.contains(view.summary.id.as_str()))
    });
    assert!(found, "{audit:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_push_of_what_is_no_commit_ends_at_once_and_says_what_it_is() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    repo.git(&["tag", "--annotate", "v1", "--message", "One"]);
    let server = Server::start(&[&repo]).await;
    let tag = repo.git(&["rev-parse", "v1"]);
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    let unknown = "0123456789abcdef0123456789abcdef01234567".to_owned();
    let push = async |reference: &str, after: &str| {
        // As a provider sends it that names no head commit.
        let body = json!({
            "ref": reference, "after": after, "head_commit": null,
            "repository": {"full_name": "acme/app"},
        });
        let body = body.to_string().into_bytes();
        server.deliver("push", &format!("delivery-{after}"), &body).await
    };

    for (after, words) in [
        (
            &tag,
            format!("is an annotated tag, and no commit: the commit that it points to is {commit}"),
        ),
        (&tree, "is a folder (a tree), and no commit".to_owned()),
        (&unknown, format!("commit {unknown} is in no branch and no tag")),
    ] {
        let reply = push("refs/tags/v1", after).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json::<Value>()["pipeline"].as_str().unwrap().to_owned();
        let view = server
            .pipeline_when(&id, |view| view.summary.outcome.is_some())
            .await;
        let sentence = view.summary.cause.unwrap().sentence();
        assert!(sentence.contains(&words), "{sentence}");
    }
    let before = pipelines(&server).await;
    let deleted = push("refs/heads/gone", &"0".repeat(40)).await;
    assert_eq!(
        deleted.ok::<Value>(),
        json!({"ignored": "refs/heads/gone was deleted"})
    );
    assert_eq!(pipelines(&server).await, before);
    server.stop().await;
}
