//! Who gets a repository's secrets, and what happens when they are not to be had.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use api::runner::ErrorCode;
use api::runner::task::Task;
use api::{Cause, Millis, Outcome, Secret};
use server::config::{Repository, SecretsSettings, SecretsSource};
use store::{NewPipeline, Origin, Settings, Store};

use crate::harness::{ONE_JOB, Repo, Server, TaskAgent, job, within};

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("secrets");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn repository(repo: &Repo, source: SecretsSource) -> Repository {
    Repository::new(&repo.name, repo.path().to_str().unwrap())
        .and_then(|repository| repository.with_secrets(source))
        .unwrap()
}

fn secrets(task: &Task) -> Vec<(&str, &str)> {
    let pairs = task.secrets.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect()
}

#[tokio::test]
async fn a_push_gets_the_secrets_that_are_there_when_its_task_is_fetched() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "TOKEN=old\n");
    let source = SecretsSource::File(path);
    let known = repository(&repo, source);
    let server = Server::start_with(&[], |config| config.repositories = vec![known]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    file(folder.path(), "TOKEN=new\nOTHER='a\nb'\n");

    let task: Task = TaskAgent::of(&server, &claim).task().await.ok();

    assert_eq!(secrets(&task), [("OTHER", "a\nb"), ("TOKEN", "new")]);
    assert!(!task.environment.contains_key("TOKEN"));
    server.stop().await;
}

#[tokio::test]
async fn a_program_is_told_for_which_job_it_is_asked() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let script = "printf '{\"WHO\": \"%s %s %s\"}' $GOATHERD_REPOSITORY $GOATHERD_REFERENCE $GOATHERD_JOB";
    let words = ["/bin/sh", "-c", script].map(str::to_owned);
    let known = repository(&repo, SecretsSource::Command(words.to_vec()));
    let server = Server::start_with(&[], |config| config.repositories = vec![known]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;

    let task: Task = TaskAgent::of(&server, &claim).task().await.ok();

    assert_eq!(secrets(&task), [("WHO", "acme/app refs/heads/main build")]);
    server.stop().await;
}

#[tokio::test]
async fn a_fork_gets_none_and_nobody_is_asked_for_them() {
    for (origin, expected) in [(Origin::Fork, 0), (Origin::Manual, 2), (Origin::Push, 2)] {
        let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let script = format!("echo asked >{}; echo TOKEN=hunter2", asked.display());
        let words = ["/bin/sh", "-c", &script].map(str::to_owned);
        let known = repository(&repo, SecretsSource::Command(words.to_vec()));
        let server = Server::start_with(&[], |config| {
            config.repositories = vec![known];
            config
                .extra_secrets
                .insert("FOR_ALL".to_owned(), Secret::new("hunter3"));
        })
        .await;
        let data = server.data.path().to_owned();
        // No provider sends pipelines of forks yet, so one is put where they would be.
        let server = server
            .restart_after(async || {
                let settings = Settings {
                    terms: api::Terms::default(),
                    default_resource_class: "default".to_owned(),
                    default_time_limit: Millis::seconds(60),
                    durability: store::Durability::Lasting,
                    status_repositories: BTreeSet::new(),
                };
                let store = Store::open(&data, settings).await.unwrap();
                let pipeline = NewPipeline {
                    repository: repo.name.clone(),
                    commit: commit.clone(),
                    reference: "refs/heads/main".to_owned(),
                    jobs: Vec::new(),
                    actor: "test".to_owned(),
                    origin,
                };
                store.create_pipeline(pipeline).await.unwrap();
                store.close().await;
            })
            .await;
        let mut agent = server.agent("agent-1").await;
        let claim = agent.claim(&server).await;

        let task: Task = TaskAgent::of(&server, &claim).task().await.ok();

        assert_eq!(task.secrets.len(), expected, "{origin:?}");
        assert_eq!(asked.exists(), expected > 0, "{origin:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_task_without_its_secrets_asks_again_until_the_patience_is_over() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "TOKEN=hunter2\n");
    let known = repository(&repo, SecretsSource::File(path.clone()));
    let server = Server::start_with(&[], |config| {
        config.repositories = vec![known];
        config.terms.window = Millis(50);
        config.secrets = SecretsSettings {
            patience: Millis(300),
            ..SecretsSettings::default()
        };
    })
    .await;
    let mut agent = server.agent("agent-1").await;
    let view = server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task_agent = TaskAgent::of(&server, &claim);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

    let first = task_agent.task().await.refused(503, ErrorCode::Unavailable);
    let last = within(async {
        loop {
            let reply = task_agent.task().await;
            if reply.status != 503 {
                return reply;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;

    let why = format!(
        "{} is open to everybody on this machine (mode 0644)",
        path.display()
    );
    assert!(first.message.contains(&why), "{first:?}");
    last.refused(410, ErrorCode::Gone);
    let view = server
        .pipeline_when(view.summary.id.as_str(), |view| view.summary.outcome.is_some())
        .await;
    let build = job(&view, "build");
    assert_eq!(build.outcome, Some(Outcome::InfraFailed));
    assert!(
        matches!(&build.cause, Some(Cause::Secrets { message }) if message.contains(&why)),
        "{build:?}"
    );
    assert_eq!(
        build.attempts.len(),
        1,
        "another place would not have them either"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_task_that_gets_its_secrets_at_last_runs() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "TOKEN=hunter2\n");
    let known = repository(&repo, SecretsSource::File(path.clone()));
    let server = Server::start_with(&[], |config| config.repositories = vec![known]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task_agent = TaskAgent::of(&server, &claim);
    fs::rename(&path, folder.path().join("away")).unwrap();
    task_agent.task().await.refused(503, ErrorCode::Unavailable);
    fs::rename(folder.path().join("away"), &path).unwrap();

    let task: Task = task_agent.task().await.ok();

    assert_eq!(secrets(&task), [("TOKEN", "hunter2")]);
    server.stop().await;
}

#[tokio::test]
async fn no_secret_can_have_the_name_of_a_variable_that_every_task_has() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[&repo]).await;
    let mut agent = server.agent("agent-1").await;
    server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task: Task = TaskAgent::of(&server, &claim).task().await.ok();

    let own = ["PATH", "HOME", "CIRCLECI", "GOATHERD", "CI_TAG", "CIRCLE_TAG"];
    assert!(task.environment.len() > 10);
    for name in task.environment.keys().map(String::as_str).chain(own) {
        let path = file(folder.path(), &format!("{name}=hunter2\n"));
        let refused = Repository::new("acme/app", "/srv/app")
            .and_then(|repository| repository.with_secrets(SecretsSource::File(path)));

        let message = refused.unwrap_err().to_string();
        let why = format!("`{name}` is a variable that every task has already; give the secret another name");
        assert!(message.ends_with(&why), "{message}");
    }
    server.stop().await;
}
