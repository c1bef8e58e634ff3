//! What is old goes, and is shown as gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use api::Millis;
use api::people::{AuditEntry, PipelineSummary};
use api::runner::ErrorCode;
use serde_json::Value;
use server::config::Retention;
use server::{App, Config};

use crate::harness::{ONE_JOB, Repo, Server, TaskAgent, sha256, within};
use crate::start::chain;

/// Looks all the time, and removes nothing.
fn never() -> Retention {
    Retention {
        pipelines: None,
        logs: None,
        artifacts: None,
        audit: None,
        most_log_bytes: None,
        most_artifact_bytes: None,
        every: Millis(10),
    }
}

/// A pipeline that has ended, with a log and an artifact; its id and its job's.
async fn ended(server: &Server, repo: &Repo) -> (String, String) {
    // Each has a commit of its own.
    let count = repo.git(&["rev-list", "--count", "--all"]);
    let commit = repo.commit(".ci.yml", &format!("# {count}\n{ONE_JOB}"));
    let pipeline = server.push(repo, &commit).await;
    let claim = server.agent("agent-1").await.claim(server).await;
    let task = TaskAgent::of(server, &claim);
    task.task().await.ok::<Value>();
    task.output(1, 1, "hello\n").await.ok::<Value>();
    task.upload("app", b"app", &sha256(b"app")).await.ok::<Value>();
    task.finish("succeeded", 1).await.ok::<Value>();
    (pipeline.summary.id.to_string(), claim.attempt.task.to_string())
}

fn files(server: &Server) -> usize {
    fn count(folder: &Path) -> usize {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .map(|path| if path.is_dir() { count(&path) } else { 1 })
            .sum()
    }
    count(&server.data.path().join("artifacts"))
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn logs_and_artifacts_that_are_gone_say_so() {
    let repo = Repo::new("acme/app");
    let server = Server::start_with(&[&repo], |config| {
        config.retention = Retention {
            logs: Some(Millis(1)),
            artifacts: Some(Millis(1)),
            ..never()
        };
    })
    .await;
    let (pipeline, task) = ended(&server, &repo).await;

    until(async || {
        let summary = server.pipeline(&pipeline).await.summary;
        (summary.logs_removed.is_some() && summary.artifacts_removed.is_some()).then_some(())
    })
    .await;

    let log = server
        .get(&server.admin, &format!("/api/v1/jobs/{task}/log"))
        .await;
    let error = log.refused(410, ErrorCode::Gone);
    assert!(error.message.contains("removed"), "{error:?}");
    let artifact = format!("/api/v1/jobs/{task}/artifacts/app");
    let artifact = server.get(&server.admin, &artifact).await;
    artifact.refused(410, ErrorCode::Gone);
    let events = format!("/api/v1/pipelines/{pipeline}/events?wait=false");
    let events = server.get(&server.admin, &events).await.text();
    assert!(
        events.contains("this log was removed on") && !events.contains("hello"),
        "{events}"
    );
    assert!(events.contains("logs are kept for 1ms"), "{events}");
    until(async || (files(&server) == 0).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn a_pipeline_that_is_too_old_is_gone_with_its_files_and_the_audit_log_says_why() {
    let repo = Repo::new("acme/app");
    let server = Server::start_with(&[&repo], |config| config.retention = never()).await;
    let (pipeline, _) = ended(&server, &repo).await;
    assert_eq!(files(&server), 1);
    // What an upload leaves behind that came too late for its attempt.
    let orphan = server.data.path().join("artifacts/gone-1/1");
    fs::create_dir_all(&orphan).unwrap();
    fs::write(orphan.join(sha256(b"x")), "x").unwrap();

    let server = server
        .restart_with(|config| config.retention.pipelines = Some(Millis(1)))
        .await;

    until(async || {
        let left: Vec<PipelineSummary> = server.get(&server.admin, "/api/v1/pipelines").await.ok();
        (left.is_empty() && files(&server) == 0).then_some(())
    })
    .await;
    let one = server
        .get(&server.admin, &format!("/api/v1/pipelines/{pipeline}"))
        .await;
    one.refused(404, ErrorCode::NotFound);
    let audit: Vec<AuditEntry> = server.get(&server.admin, "/api/v1/audit?limit=1000").await.ok();
    let entry = audit
        .iter()
        .find(|entry| entry.action == "retention.pipeline")
        .unwrap();
    assert_eq!(entry.subject, pipeline);
    assert_eq!(entry.detail, "pipelines are kept for 1ms");
    server.stop().await;
}

#[tokio::test]
async fn too_many_bytes_are_removed_but_never_of_what_runs() {
    let repo = Repo::new("acme/app");
    let server = Server::start_with(&[&repo], |config| {
        config.retention = Retention {
            most_log_bytes: Some(0),
            ..never()
        };
    })
    .await;
    let commit = repo.commit(".ci.yml", ONE_JOB);
    let running = server.push(&repo, &commit).await;
    let claim = server.agent("agent-0").await.claim(&server).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    task.output(1, 1, "still here").await.ok::<Value>();

    let (old, _) = ended(&server, &repo).await;
    until(async || server.pipeline(&old).await.summary.logs_removed).await;

    let log = format!("/api/v1/jobs/{}/log", claim.attempt.task);
    assert_eq!(server.get(&server.admin, &log).await.text(), "still here");
    let running = server.pipeline(running.summary.id.as_str()).await;
    assert_eq!(running.summary.logs_removed, None);
    server.stop().await;
}

#[tokio::test]
async fn no_artifact_is_removed_where_the_database_was_lost() {
    let repo = Repo::new("acme/app");
    let server = Server::start_with(&[&repo], |config| config.retention = never()).await;
    ended(&server, &repo).await;
    let data = server.data.path().to_owned();
    let (database, backup) = (data.join("goatherd.sqlite"), data.join("backup"));

    let server = server
        .restart_after(async || {
            fs::rename(&database, &backup).unwrap();
            let refused = chain(&App::build(Config::new(&data)).await.unwrap_err());
            let (artifacts, git) = (data.join("artifacts"), data.join("git"));
            let left = format!("but {} and {} hold", artifacts.display(), git.display());
            assert!(refused.contains(&left), "{refused}");
            fs::rename(&backup, &database).unwrap();
        })
        .await;

    assert_eq!(files(&server), 1);
    server.stop().await;
}
