//! The people's API: who may call it, and what it tells.

use std::time::Duration;

use api::people::{AuditEntry, Event, PipelineStarted, PipelineSummary, RepositoryView};
use api::runner::ErrorCode;
use api::{Cause, PipelineOutcome, Secret};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ONE_JOB, Repo, Server, TWO_JOBS, TaskAgent, within};

#[tokio::test]
async fn every_call_needs_an_admin_token() {
    let server = Server::start(&[]).await;
    let class = server.class_token("default").await;
    let calls = [
        (Method::GET, "/api/v1/pipelines"),
        (Method::POST, "/api/v1/pipelines"),
        (Method::GET, "/api/v1/pipelines/p"),
        (Method::POST, "/api/v1/pipelines/p/cancel"),
        (Method::POST, "/api/v1/pipelines/p/rerun"),
        (Method::GET, "/api/v1/pipelines/p/events"),
        (Method::GET, "/api/v1/jobs/t/log"),
        (Method::POST, "/api/v1/jobs/t/cancel"),
        (Method::GET, "/api/v1/jobs/t/artifacts/a"),
        (Method::POST, "/api/v1/tokens"),
        (Method::GET, "/api/v1/audit"),
        (Method::GET, "/api/v1/repositories"),
    ];

    for (method, path) in calls {
        let without = server.call(server.request(method.clone(), path)).await;
        let with_another = server
            .call(server.request(method, path).bearer_auth(class.expose()))
            .await;

        without.refused(401, ErrorCode::Unauthorised);
        with_another.refused(401, ErrorCode::Unauthorised);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_admin_token_that_lives_with_the_process_is_good_beside_the_stored_one() {
    let own = Secret::new("for-this-run-only");
    let server = Server::start_with(&[], |config| config.admin_token = Some(own.clone())).await;

    server.get(&own, "/api/v1/audit").await.ok::<Value>();
    server.get(&server.admin, "/api/v1/audit").await.ok::<Value>();
    server
        .get(&Secret::new("for-this-run"), "/api/v1/audit")
        .await
        .refused(401, ErrorCode::Unauthorised);
    server.stop().await;
}

#[tokio::test]
async fn a_pipeline_can_be_started_by_hand_with_chosen_jobs() {
    let (repo, commit) = Repo::with_config("acme/app", TWO_JOBS);
    let server = Server::start(&[&repo]).await;
    let request = |job: &str| {
        json!({
            "repository": "acme/app", "commit": commit, "reference": "refs/heads/main", "jobs": [job],
        })
    };

    let build: PipelineStarted = server
        .post(&server.admin, "/api/v1/pipelines", &request("build"))
        .await
        .ok();
    let wrong: PipelineStarted = server
        .post(&server.admin, "/api/v1/pipelines", &request("biuld"))
        .await
        .ok();

    let build = server
        .pipeline_when(build.pipeline.as_str(), |view| !view.jobs.is_empty())
        .await;
    assert_eq!(
        build.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(),
        ["build"]
    );
    let wrong = server
        .pipeline_when(wrong.pipeline.as_str(), |view| view.summary.outcome.is_some())
        .await;
    assert!(matches!(wrong.summary.cause, Some(Cause::Config { message, .. }) if message.contains("biuld")));
    let list: Vec<PipelineSummary> = server.get(&server.admin, "/api/v1/pipelines?limit=1").await.ok();
    assert_eq!(
        list.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&wrong.summary.id]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_pipeline_of_nothing_sensible_is_refused() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let request = |repository: &str, commit: &str, reference: &str| json!({"repository": repository, "commit": commit, "reference": reference});

    for (body, status, code) in [
        (
            request("acme/other", &commit, "refs/heads/main"),
            404,
            ErrorCode::NotFound,
        ),
        (
            request("acme/app", &commit[..7], "refs/heads/main"),
            400,
            ErrorCode::Invalid,
        ),
        (
            request("acme/app", "--output=/etc/passwd", "refs/heads/main"),
            400,
            ErrorCode::Invalid,
        ),
        (request("acme/app", &commit, "main"), 400, ErrorCode::Invalid),
        (
            request("acme/app", &commit, "refs/heads/../x"),
            400,
            ErrorCode::Invalid,
        ),
    ] {
        server
            .post(&server.admin, "/api/v1/pipelines", &body)
            .await
            .refused(status, code);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let server = Server::start(&[]).await;

    for path in [
        "/api/v1/pipelines/p-none",
        "/api/v1/pipelines/p-none/events",
        "/api/v1/jobs/t-none/artifacts/a",
        "/api/v1/none",
        "/",
    ] {
        server
            .get(&server.admin, path)
            .await
            .refused(404, ErrorCode::NotFound);
    }
    for path in ["/api/v1/pipelines/p-none/cancel", "/api/v1/jobs/t-none/cancel"] {
        server
            .post(&server.admin, path, &json!({}))
            .await
            .refused(404, ErrorCode::NotFound);
    }
    let method = server.call(server.request(Method::DELETE, "/api/v1/audit")).await;
    method.refused(405, ErrorCode::Invalid);
    server.stop().await;
}

#[tokio::test]
async fn the_audit_log_pages_and_holds_no_token() {
    let server = Server::start(&[]).await;
    let token = server.class_token("acme/large").await;

    let all = server.get(&server.admin, "/api/v1/audit").await;
    let entries: Vec<AuditEntry> = all.ok();
    let last = entries.last().unwrap();
    let rest: Vec<AuditEntry> = server
        .get(&server.admin, &format!("/api/v1/audit?after={}", last.number))
        .await
        .ok();

    assert!(
        last.subject.contains("acme/large") || last.detail.contains("acme/large"),
        "{last:?}"
    );
    assert_eq!(last.actor, "admin");
    assert!(!all.text().contains(token.expose()) && !all.text().contains(server.admin.expose()));
    assert!(rest.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn repositories_are_listed_without_their_sources() {
    let repo = Repo::new("acme/app");
    let server = Server::start(&[&repo]).await;

    let reply = server.get(&server.admin, "/api/v1/repositories").await;

    let list: Vec<RepositoryView> = reply.ok();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].name.as_str(), &list[0].clone_url), ("acme/app", &None));
    server.stop().await;
}

/// Reads server-sent events until as many as wanted are there, or the end; gives their cursors.
async fn read_events(server: &Server, path: &str, last: Option<u64>, most: usize) -> Vec<(u64, Event)> {
    let mut request = server
        .request(Method::GET, path)
        .bearer_auth(server.admin.expose());
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last.to_string());
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    let mut events = Vec::new();
    while events.len() < most {
        let Some(piece) = within(response.chunk()).await.unwrap() else {
            break;
        };
        text.push_str(std::str::from_utf8(&piece).unwrap());
        while let Some(end) = text.find("\n\n") {
            let record: String = text.drain(..end + 2).collect();
            let field = |name: &str| record.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                events.push((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
            }
        }
    }
    events
}

#[tokio::test]
async fn a_follower_that_comes_again_misses_nothing_and_gets_nothing_twice() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    let pipeline = server.push(&repo, &commit).await;
    let path = format!("/api/v1/pipelines/{}/events", pipeline.summary.id);
    let claim = agent.claim(&server).await;

    let first = read_events(&server, &path, None, 1).await;
    TaskAgent::of(&server, &claim).succeed().await;
    let last = first.last().unwrap().0;
    let rest = read_events(&server, &path, Some(last), usize::MAX).await;
    let all = read_events(&server, &path, None, usize::MAX).await;

    let joined: Vec<_> = first.into_iter().chain(rest).collect();
    assert_eq!(joined, all);
    server.stop().await;
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    let pipeline = server.push(&repo, &commit).await;
    let path = format!("/api/v1/pipelines/{}/events", pipeline.summary.id);

    let act = async {
        let claim = agent.claim(&server).await;
        TaskAgent::of(&server, &claim).succeed().await;
    };
    let (events, ()) = tokio::join!(read_events(&server, &path, None, usize::MAX), act);

    let last = serde_json::to_value(&events.last().unwrap().1).unwrap();
    assert_eq!(last["event"], "pipeline.finished");
    assert_eq!(last["outcome"], json!(PipelineOutcome::Succeeded));
    server.stop().await;
}

#[tokio::test]
async fn a_follower_that_has_all_of_an_ended_pipeline_is_told_not_to_come_again() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let pipeline = server.push(&repo, &commit).await.summary.id;
    let cancel = format!("/api/v1/pipelines/{pipeline}/cancel");
    let cancelled = server
        .post(&server.admin, &cancel, &json!({"why": "enough"}))
        .await;
    assert_eq!(cancelled.ok::<Value>(), json!({}));
    let path = format!("/api/v1/pipelines/{pipeline}/events");
    let events = read_events(&server, &path, None, usize::MAX).await;
    let (last, _) = events.last().unwrap();

    let request = server
        .request(Method::GET, &path)
        .bearer_auth(server.admin.expose());
    let reply = server
        .call(request.header("Last-Event-ID", last.to_string()))
        .await;

    assert_eq!(reply.status, 204, "{}", reply.text());
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let pipeline = server.push(&repo, &commit).await;
    let path = format!("/api/v1/pipelines/{}/events", pipeline.summary.id);

    let request = server
        .request(Method::GET, &path)
        .bearer_auth(server.admin.expose());
    let reply = server
        .call(
            request
                .header("Last-Event-ID", "here")
                .timeout(Duration::from_secs(10)),
        )
        .await;

    reply.refused(400, ErrorCode::Invalid);
    server.stop().await;
}

#[tokio::test]
async fn a_pipeline_that_is_cancelled_before_it_is_claimed_ends_at_once() {
    let (repo, commit) = Repo::with_config("acme/app", TWO_JOBS);
    let server = Server::start(&[&repo]).await;
    let pipeline = server.push(&repo, &commit).await;
    let id = pipeline.summary.id.as_str();

    server
        .post(
            &server.admin,
            &format!("/api/v1/pipelines/{id}/cancel"),
            &json!({}),
        )
        .await
        .ok::<Value>();

    let view = server.pipeline(id).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Cancelled));
    server.stop().await;
}
