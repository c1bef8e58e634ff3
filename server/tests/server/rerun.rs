//! Running a pipeline again, over the API.

use api::Outcome;
use api::people::PipelineStarted;
use api::runner::ErrorCode;
use serde_json::{Value, json};

use crate::harness::{Repo, Server, TWO_JOBS, TaskAgent, job};

#[tokio::test]
async fn only_what_failed_and_what_it_needs_runs_again() {
    let config = format!("{TWO_JOBS}  lint:\n    steps:\n      - run: make lint\n");
    let (repo, commit) = Repo::with_config("acme/app", &config);
    let server = Server::start(&[&repo]).await;
    let first = server.push(&repo, &commit).await;
    let path = format!("/api/v1/pipelines/{}/rerun", first.summary.id);
    let early = server.post(&server.admin, &path, &json!({"failed": true})).await;
    early.refused(409, ErrorCode::Conflict);
    let failing = job(&first, "test").task.clone();
    for number in 0..3 {
        let claim = server
            .agent(&format!("agent-{number}"))
            .await
            .claim(&server)
            .await;
        let task = TaskAgent::of(&server, &claim);
        task.task().await.ok::<Value>();
        let outcome = if claim.attempt.task == failing {
            "failed"
        } else {
            "succeeded"
        };
        task.finish(outcome, 0).await.ok::<Value>();
    }
    let first = server
        .pipeline_when(first.summary.id.as_str(), |view| view.summary.outcome.is_some())
        .await;
    assert_eq!(job(&first, "test").outcome, Some(Outcome::Failed));

    let again = server.post(&server.admin, &path, &json!({"failed": true})).await;

    assert_eq!(again.status, 201);
    let again: PipelineStarted = again.json();
    let again = server
        .pipeline_when(again.pipeline.as_str(), |view| !view.jobs.is_empty())
        .await;
    let names: Vec<&str> = again.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["build", "test"]);
    assert_eq!(again.summary.commit, first.summary.commit);
    server.stop().await;
}
