//! `/git`: what a task may read, with the real git on both ends.

use std::process::{Command, Output};

use api::Secret;
use api::runner::ErrorCode;
use api::runner::claim::Claim;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{ONE_JOB, Repo, Server, TaskAgent};

/// What the task of a claim reads its repository with.
async fn reader(server: &Server, claim: &Claim) -> Secret {
    let task: Value = TaskAgent::of(server, claim).task().await.ok();
    Secret::new(task["source"]["token"].as_str().expect("a token for git"))
}

/// Runs git with a token as the password, as a credential helper would give it.
async fn git(token: &Secret, arguments: Vec<String>) -> Output {
    let credentials = STANDARD.encode(format!("task:{}", token.expose()));
    let header = format!("http.extraHeader=Authorization: Basic {credentials}");
    tokio::task::spawn_blocking(move || {
        Command::new("git")
            .args(["-c", &header, "-c", "protocol.version=2"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap()
    })
    .await
    .unwrap()
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&word| word.to_owned()).collect()
}

#[tokio::test]
async fn a_task_clones_its_own_repository_with_its_token() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let reader = reader(&server, &claim).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app");
    let target = target.to_str().unwrap();

    for url in ["acme/app", "acme/app.git"] {
        let url = format!("{}/git/{url}", server.url);
        let cloned = git(&reader, words(&["clone", "--quiet", &url, target])).await;

        assert!(cloned.status.success(), "{cloned:?}");
        let config = std::fs::read_to_string(folder.path().join("app/.ci.yml")).unwrap();
        assert_eq!(config, ONE_JOB);
        std::fs::remove_dir_all(target).unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_commit_that_is_on_no_branch_is_fetched_by_its_name_also_after_a_restart() {
    let (repo, first) = Repo::with_config("acme/app", ONE_JOB);
    let lost = repo.commit("README", "lost");
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &lost).await;
    let claim = agent.claim(&server).await;
    let reader = reader(&server, &claim).await;
    repo.git(&["reset", "--quiet", "--hard", &first]);
    let next = repo.commit("README", "found");
    server.push(&repo, &next).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    let server = server.restart().await;

    let url = format!("{}/git/acme/app", server.url);
    let made = git(&reader, words(&["init", "--quiet", target])).await;
    let fetched = git(
        &reader,
        words(&["-C", target, "fetch", "--quiet", "--depth=1", &url, &lost]),
    )
    .await;

    assert!(made.status.success() && fetched.status.success(), "{fetched:?}");
    server.stop().await;
}

#[tokio::test]
async fn another_repositorys_token_and_no_token_are_refused() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let (other, other_commit) = Repo::with_config("acme/other", ONE_JOB);
    let server = Server::start(&[&repo, &other]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let reader = reader(&server, &claim).await;
    server.push(&other, &other_commit).await;
    let refs = |name: &str| format!("/git/{name}/info/refs?service=git-upload-pack");
    let with = |path: &str, password: &str| {
        server
            .request(Method::GET, path)
            .basic_auth("any", Some(password))
    };

    let own = server.call(with(&refs("acme/app"), reader.expose())).await;
    let task_token = server.call(with(&refs("acme/app"), claim.token.expose())).await;
    let foreign = server.call(with(&refs("acme/other"), reader.expose())).await;
    // What git gets is good for git alone, and the task token for all but git.
    let fetched = server.get(&reader, api::runner::path::TASK).await;
    assert_eq!(fetched.status, 401);
    assert_eq!(task_token.status, 401);
    let unknown = server.call(with(&refs("acme/none"), reader.expose())).await;
    let agents = server.call(with(&refs("acme/app"), agent.token.expose())).await;
    let admins = server.call(with(&refs("acme/app"), server.admin.expose())).await;
    let nobodys = server
        .request(Method::GET, &refs("acme/app"))
        .send()
        .await
        .unwrap();

    assert_eq!(own.status, 200);
    assert!(
        own.text().contains("refs/heads/main") || own.text().contains("version"),
        "{}",
        own.text()
    );
    foreign.refused(403, ErrorCode::Forbidden);
    unknown.refused(403, ErrorCode::Forbidden);
    agents.refused(401, ErrorCode::Unauthorised);
    admins.refused(401, ErrorCode::Unauthorised);
    assert_eq!(nobodys.status(), 401);
    assert!(
        nobodys.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Basic")
    );
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_pushed_and_no_file_is_read() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let reader = reader(&server, &claim).await;
    let ask = |method: Method, path: &str| {
        let request = server.request(method, &format!("/git/acme/app.git/{path}"));
        request.basic_auth("any", Some(reader.expose()))
    };

    let push = server.call(ask(Method::POST, "git-receive-pack")).await;
    let push_refs = server
        .call(ask(Method::GET, "info/refs?service=git-receive-pack"))
        .await;
    let dumb = server.call(ask(Method::GET, "info/refs")).await;
    let file = server.call(ask(Method::GET, "config")).await;

    push.refused(403, ErrorCode::Forbidden);
    push_refs.refused(403, ErrorCode::Forbidden);
    dumb.refused(403, ErrorCode::Forbidden);
    file.refused(404, ErrorCode::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn a_task_that_is_over_reads_nothing_more() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let reader = reader(&server, &claim).await;
    TaskAgent::of(&server, &claim).succeed().await;

    let request = server.request(Method::GET, "/git/acme/app/info/refs?service=git-upload-pack");
    let reply = server
        .call(request.basic_auth("any", Some(reader.expose())))
        .await;

    reply.refused(410, ErrorCode::Gone);
    server.stop().await;
}
