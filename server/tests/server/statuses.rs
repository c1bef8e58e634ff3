//! Commit statuses at the provider, against one that is as strict as GitHub.

use std::time::Duration;

use api::Secret;
use api::people::AuditEntry;
use internal_testing::github::{GitHub, TOKEN, Taken, Trouble};
use internal_testing::wait;
use server::Config;
use server::config::StatusAccess;

use super::harness::{ONE_JOB, PATIENCE, Repo, Server, TWO_JOBS, TaskAgent};

const NAME: &str = "acme/app";

fn with_token(config: &mut Config, github: &GitHub, token: &str) {
    let access = StatusAccess::github(NAME, Some(&github.api_url()), Secret::new(token)).unwrap();
    config.statuses = vec![access];
}

/// A provider and a server that tells it.
async fn start(repo: &Repo) -> (GitHub, Server) {
    let github = GitHub::start();
    github.add_repository(NAME, repo.path());
    let server = Server::start_with(&[repo], |config| with_token(config, &github, TOKEN)).await;
    (github, server)
}

/// Waits until the provider shows a state.
async fn shown(github: &GitHub, commit: &str, context: &str, state: &str) -> Taken {
    let what = format!("{context} to be {state}");
    wait::until_async(&what, PATIENCE, || async {
        github.shown(commit, context).filter(|one| one.state == state)
    })
    .await
}

/// Never pending after a final state, and each state once.
fn assert_in_order(github: &GitHub, commit: &str, context: &str) {
    let states: Vec<_> = github
        .history(commit, context)
        .into_iter()
        .map(|one| one.state)
        .collect();
    let pending = states.iter().take_while(|state| *state == "pending").count();
    assert!(states.len() <= pending + 1, "{context}: {states:?}");
}

async fn run_build(server: &Server, repo: &Repo, commit: &str) {
    server.push(repo, commit).await;
    let claim = server.agent("agent-1").await.claim(server).await;
    TaskAgent::of(server, &claim).succeed().await;
}

async fn refusals(server: &Server) -> Vec<AuditEntry> {
    let reply = server.get(&server.admin, "/api/v1/audit?limit=1000").await;
    let entries: Vec<AuditEntry> = reply.ok();
    entries
        .into_iter()
        .filter(|entry| entry.action == "status.refused")
        .collect()
}

#[tokio::test]
async fn each_job_goes_from_pending_to_its_end_with_a_link_to_the_pipeline() {
    let (repo, commit) = Repo::with_config(NAME, TWO_JOBS);
    let (github, server) = start(&repo).await;

    let view = server.push(&repo, &commit).await;
    let waiting = shown(&github, &commit, "goatherd/test", "pending").await;
    shown(&github, &commit, "goatherd/build", "pending").await;
    let mut agent = server.agent("agent-1").await;
    for _ in 0..2 {
        let claim = agent.claim(&server).await;
        TaskAgent::of(&server, &claim).succeed().await;
    }

    let built = shown(&github, &commit, "goatherd/build", "success").await;
    shown(&github, &commit, "goatherd/test", "success").await;
    assert_eq!(waiting.description, "waits for build");
    assert!(built.description.starts_with("succeeded in "), "{built:?}");
    assert_eq!(
        built.target_url,
        format!("{}/api/v1/pipelines/{}", server.url, view.summary.id)
    );
    assert_in_order(&github, &commit, "goatherd/build");
    assert_in_order(&github, &commit, "goatherd/test");
    assert_eq!(github.refused(), []);
}

#[tokio::test]
async fn a_provider_in_trouble_gets_everything_in_the_end_and_no_call_too_early() {
    let (repo, commit) = Repo::with_config(NAME, ONE_JOB);
    let (github, server) = start(&repo).await;
    github.trouble([
        Trouble::Broken(502),
        Trouble::TooMany { retry_after: 2 },
        Trouble::Lost,
        Trouble::Exhausted { reset_after: 1 },
        Trouble::Slow(Duration::from_millis(500)),
    ]);

    run_build(&server, &repo, &commit).await;

    wait::until_async("the troubles to be over", PATIENCE, || async {
        (github.troubles_left() == 0).then_some(())
    })
    .await;
    shown(&github, &commit, "goatherd/build", "success").await;
    assert_eq!(github.violations(), Vec::<String>::new());
    let states: Vec<_> = github
        .history(&commit, "goatherd/build")
        .into_iter()
        .map(|one| one.state)
        .collect();
    // The one whose answer was lost is there twice.
    let first_final = states.iter().position(|state| state == "success").unwrap();
    assert!(
        states[first_final..].iter().all(|state| state == "success"),
        "{states:?}"
    );
}

#[tokio::test]
async fn one_status_that_fails_does_not_hold_back_the_others() {
    let (repo, commit) = Repo::with_config(NAME, TWO_JOBS);
    let (github, server) = start(&repo).await;
    github.trouble([Trouble::Broken(500)]);

    server.push(&repo, &commit).await;

    shown(&github, &commit, "goatherd/build", "pending").await;
    let contexts: Vec<_> = github.taken().into_iter().map(|one| one.context).collect();
    assert_eq!(contexts, ["goatherd/test", "goatherd/build"]);
    drop(server);
}

/// A hundred and twenty statuses of one repository that the provider answers with `status`, then one of another.
async fn others_go_on_beside_a_repository_that_gets(status: u16) {
    let jobs: String = (0..120)
        .map(|number| format!("  job{number}: {{steps: [run: 'true']}}\n"))
        .collect();
    let (broken, commit) = Repo::with_config("acme/broken", &format!("jobs:\n{jobs}"));
    let (repo, sound) = Repo::with_config(NAME, ONE_JOB);
    let github = GitHub::start();
    github.add_repository(NAME, repo.path());
    github.break_repository(&broken.name, status);
    let server = Server::start_with(&[&broken, &repo], |config| {
        config.statuses = [broken.name.as_str(), NAME]
            .map(|name| StatusAccess::github(name, Some(&github.api_url()), Secret::new(TOKEN)).unwrap())
            .into();
    })
    .await;
    server.push(&broken, &commit).await;
    wait::until_async("many calls", PATIENCE, || async {
        (github.calls() >= 15).then_some(())
    })
    .await;

    let view = server.push(&repo, &sound).await;

    shown(&github, &sound, "goatherd/build", "pending").await;
    assert!(github.calls() < 100, "{} calls came first", github.calls());
    let path = format!("/api/v1/pipelines/{}/cancel", view.summary.id);
    server
        .post(&server.admin, &path, &serde_json::json!({"why": "enough"}))
        .await
        .ok::<serde_json::Value>();
    shown(&github, &sound, "goatherd/build", "error").await;
    assert_in_order(&github, &sound, "goatherd/build");
    server.stop().await;
}

#[tokio::test]
async fn a_hundred_statuses_that_fail_do_not_hold_back_another_repository() {
    others_go_on_beside_a_repository_that_gets(503).await;
}

#[tokio::test]
async fn a_hundred_statuses_that_are_refused_do_not_hold_back_another_repository() {
    others_go_on_beside_a_repository_that_gets(404).await;
}

#[tokio::test]
async fn a_wrong_token_is_recorded_with_what_to_do_and_a_right_one_heals_it() {
    let (repo, commit) = Repo::with_config(NAME, ONE_JOB);
    let (github, mut server) = start(&repo).await;
    github.change_token("another");
    run_build(&server, &repo, &commit).await;
    wait::until_async("a refusal of the end", PATIENCE, || async {
        refusals(&server)
            .await
            .into_iter()
            .find(|entry| entry.detail.contains("success"))
    })
    .await;
    let calls = github.calls();

    let entry = refusals(&server).await.pop().unwrap();
    assert_eq!(
        entry.detail,
        "goatherd/build success: 401: Bad credentials (the token is wrong or has ended: put a new one in place and \
         start the server again)"
    );
    assert_eq!(github.taken(), []);
    server.reconfigure(|config| with_token(config, &github, "another"));
    let server = server.restart().await;
    shown(&github, &commit, "goatherd/build", "success").await;
    assert_eq!(github.calls(), calls + 1);
    assert_in_order(&github, &commit, "goatherd/build");
    drop(server);
}

#[tokio::test]
async fn a_refusal_for_certain_is_not_repeated() {
    let (repo, commit) = Repo::with_config(NAME, ONE_JOB);
    let stranger = Repo::new("acme/other");
    let github = GitHub::start();
    // The commit is not there.
    github.add_repository(NAME, stranger.path());
    let server = Server::start_with(&[&repo], |config| with_token(config, &github, TOKEN)).await;
    run_build(&server, &repo, &commit).await;
    wait::until_async("a refusal of the end", PATIENCE, || async {
        let found = refusals(&server).await;
        found
            .into_iter()
            .find(|entry| entry.detail.contains("success: 422: No commit found"))
    })
    .await;
    let calls = github.calls();

    // Everything else goes on, and wakes who sends statuses.
    let second = repo.commit("file", "text");
    github.add_repository(NAME, repo.path());
    server.push(&repo, &second).await;
    shown(&github, &second, "goatherd/build", "pending").await;

    assert_eq!(github.calls(), calls + 1);
    assert!(github.refused().iter().all(|(status, _)| *status == 422));
}

#[tokio::test]
async fn a_config_error_with_anything_in_it_is_a_failure_with_its_place() {
    let long = format!(
        "jobs:\n  build:\n    steps:\n      - {}: x\n",
        "\u{1f410}ä".repeat(100)
    );
    let (repo, commit) = Repo::with_config(NAME, &long);
    let (github, server) = start(&repo).await;

    server.push(&repo, &commit).await;

    let told = shown(&github, &commit, "goatherd", "failure").await;
    assert!(told.description.starts_with(".ci.yml:4:"), "{told:?}");
    assert!(told.description.contains('\u{fffd}'), "{told:?}");
    assert_eq!(github.refused(), []);
    drop(server);
}

#[tokio::test]
async fn a_long_cause_is_cut_to_what_the_provider_takes() {
    let (repo, commit) = Repo::with_config(NAME, ONE_JOB);
    let (github, server) = start(&repo).await;
    let view = server.push(&repo, &commit).await;

    let path = format!("/api/v1/pipelines/{}/cancel", view.summary.id);
    let why = serde_json::json!({"why": "ä".repeat(200)});
    let reply = server.post(&server.admin, &path, &why).await;

    assert!(reply.status.is_success(), "{}", reply.text());
    let told = shown(&github, &commit, "goatherd/build", "error").await;
    assert_eq!(told.description.chars().count(), 140);
    assert!(told.description.ends_with("ä…"), "{told:?}");
    assert_eq!(github.refused(), []);
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_a_call_loses_nothing() {
    let (repo, commit) = Repo::with_config(NAME, ONE_JOB);
    let (github, server) = start(&repo).await;
    github.trouble([Trouble::Slow(Duration::from_secs(1))]);
    server.push(&repo, &commit).await;
    wait::until_async("a call", PATIENCE, || async {
        (github.calls() == 1).then_some(())
    })
    .await;

    let server = server.restart().await;

    assert_eq!(github.history(&commit, "goatherd/build").len(), 1);
    let claim = server.agent("agent-1").await.claim(&server).await;
    TaskAgent::of(&server, &claim).succeed().await;
    shown(&github, &commit, "goatherd/build", "success").await;
    assert_in_order(&github, &commit, "goatherd/build");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let (repo, commit) = Repo::with_config(NAME, ONE_JOB);
    let github = GitHub::start();
    github.add_repository(NAME, repo.path());
    let server = Server::start(&[&repo]).await;

    run_build(&server, &repo, &commit).await;

    server.stop().await;
    assert_eq!(github.calls(), 0);
}
