//! What a Git provider shows of a commit, with the shipped binaries, against a provider that is as strict as
//! GitHub.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use api::Outcome;
use internal_testing::github::{GitHub, TOKEN, Taken, Trouble};
use internal_testing::installation::{PATIENCE, REPOSITORY};
use internal_testing::{Installation, Options, Repository, wait};
use tempfile::TempDir;

/// An installation that tells a provider.
struct Told {
    github: GitHub,
    installation: Installation,
    folder: TempDir,
}

impl Told {
    fn start() -> Self {
        let github = GitHub::start();
        let folder = tempfile::Builder::new()
            .prefix("goatherd-test-")
            .tempdir()
            .unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let installation = Installation::start(&options(&github, &file));
        github.add_repository(REPOSITORY, installation.repository.folder());
        Self {
            github,
            installation,
            folder,
        }
    }

    /// Waits until the provider shows a state.
    fn shown(&self, commit: &str, context: &str, state: &str) -> Taken {
        wait::until(&format!("{context} to be {state}"), PATIENCE, || {
            self.github
                .shown(commit, context)
                .filter(|one| one.state == state)
        })
    }

    /// Pending first, one final state last, nothing after it, and no call that GitHub would hold against us.
    fn assert_in_order(&self, commit: &str, context: &str) {
        let history = self.github.history(commit, context);
        let after = history.iter().skip_while(|one| one.state == "pending").count();
        assert_eq!(after, 1, "{history:#?}");
        assert_eq!(self.github.violations(), Vec::<String>::new());
        assert_eq!(self.github.refused(), []);
    }

    async fn commit(&self, pipeline: &api::PipelineId) -> String {
        self.installation.pipeline(pipeline).await.summary.commit
    }
}

fn options(github: &GitHub, token: &Path) -> Options {
    Options {
        repository_settings: format!("status_token_file = \"{}\"", token.display()),
        settings: format!("[forge.github]\napi_url = \"{}\"", github.api_url()),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_push_is_pending_and_then_as_each_job_ended() {
    let told = Told::start();
    let config = format!(
        "jobs:\n  good:\n    steps: [run: \"{}\"]\n  bad:\n    requires: [good]\n    steps: [run: exit 3]\n  \
         after:\n    requires: [bad]\n    steps: [run: \"true\"]\n",
        told.installation.wait_at_gate("go")
    );
    let _agent = told.installation.agent("one");

    let pipeline = told.installation.push(&config).await;
    let commit = told.commit(&pipeline).await;
    told.shown(&commit, "goatherd/good", "pending");
    let waits = told.shown(&commit, "goatherd/after", "pending");
    told.installation.open_gate("go");

    let good = told.shown(&commit, "goatherd/good", "success");
    let bad = told.shown(&commit, "goatherd/bad", "failure");
    let after = told.shown(&commit, "goatherd/after", "success");
    assert_eq!(waits.description, "waits for bad");
    assert!(good.description.starts_with("succeeded in "), "{good:?}");
    assert!(
        good.target_url
            .ends_with(&format!("/api/v1/pipelines/{pipeline}")),
        "{good:?}"
    );
    assert_eq!(bad.description, "a step exited with code 3");
    assert_eq!(after.description, "skipped: `bad` did not end as required");
    for job in ["good", "bad", "after"] {
        told.assert_in_order(&commit, &format!("goatherd/{job}"));
    }
}

#[tokio::test]
async fn a_config_error_is_a_failure_that_names_file_line_and_column() {
    let told = Told::start();

    let pipeline = told
        .installation
        .push("jobs:\n  build:\n    stepz: [checkout]\n")
        .await;

    let commit = told.commit(&pipeline).await;
    let shown = told.shown(&commit, "goatherd", "failure");
    assert!(shown.description.starts_with(".ci.yml:3:5: "), "{shown:?}");
    told.assert_in_order(&commit, "goatherd");
}

#[tokio::test]
async fn a_repository_that_cannot_be_cloned_is_an_error() {
    let told = Told::start();
    // The provider has a commit that is not where the server clones from.
    let elsewhere = Repository::new(&told.folder.path().join("elsewhere"));
    let commit = elsewhere.commit(".ci.yml", "jobs: {build: {steps: [checkout]}}\n");
    told.github.add_repository(REPOSITORY, elsewhere.folder());

    let body = serde_json::json!({
        "ref": "refs/heads/main", "after": commit, "head_commit": {"id": commit, "message": "A change"},
        "repository": {"full_name": REPOSITORY},
    });
    let (status, answer) = told.installation.deliver(body.to_string().as_bytes(), None).await;
    assert_eq!(status, 202, "{answer}");

    let shown = told.shown(&commit, "goatherd", "error");
    assert!(
        shown
            .description
            .starts_with("the repository could not be cloned: "),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_cancelled_job_is_an_error_that_says_by_whom() {
    let told = Told::start();
    let _agent = told.installation.agent("one");
    let config = "jobs:\n  long:\n    steps: [run: echo begun; sleep 1000]\n  after:\n    requires: [long]\n    \
                  steps: [run: \"true\"]\n";
    let pipeline = told.installation.push(config).await;
    let commit = told.commit(&pipeline).await;
    told.installation.logged(&pipeline, "begun").await;
    told.shown(&commit, "goatherd/long", "pending");

    told.installation
        .client()
        .cancel_pipeline(&pipeline, "enough")
        .await
        .unwrap();

    let long = told.shown(&commit, "goatherd/long", "error");
    told.shown(&commit, "goatherd/after", "error");
    assert_eq!(long.description, "cancelled by admin: enough");
    told.assert_in_order(&commit, "goatherd/long");
    told.assert_in_order(&commit, "goatherd/after");
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_tells_everything_in_order() {
    let mut told = Told::start();
    let _agent = told.installation.agent("one");
    let gates = ["one", "two", "three"];
    let jobs: String = gates
        .iter()
        .map(|gate| {
            let wait = told.installation.wait_at_gate(gate);
            format!("  {gate}:\n    steps: [run: \"echo begun {gate}; {wait}\"]\n")
        })
        .collect();
    let pipeline = told.installation.push(&format!("jobs:\n{jobs}")).await;
    let commit = told.commit(&pipeline).await;

    for gate in gates {
        // An answer that is under way when the server dies.
        told.github
            .trouble([Trouble::Slow(std::time::Duration::from_millis(300))]);
        told.installation.open_gate(gate);
        told.installation
            .wait_for("the job to end", &pipeline, |view| {
                let job = view.jobs.iter().find(|job| job.name == gate)?;
                (job.outcome == Some(Outcome::Succeeded)).then_some(())
            })
            .await;
        told.installation.kill_server();
        told.installation.start_server();
    }

    for gate in gates {
        told.shown(&commit, &format!("goatherd/{gate}"), "success");
    }
    for gate in gates {
        // What was under way at a kill may be there twice, and nothing may be pending after it.
        let history = told.github.history(&commit, &format!("goatherd/{gate}"));
        let ends = history.iter().skip_while(|one| one.state == "pending");
        assert!(ends.clone().all(|one| one.state == "success"), "{history:#?}");
    }
    assert_eq!(told.github.refused(), []);
}

#[tokio::test]
async fn a_provider_that_was_away_gets_the_newest_states_when_it_is_back() {
    let mut told = Told::start();
    let _agent = told.installation.agent("one");
    told.github.go_away();
    let config = "jobs:\n  good:\n    steps: [run: \"true\"]\n  bad:\n    steps: [run: exit 3]\n";

    let pipeline = told.installation.push(config).await;
    told.installation.ended(&pipeline).await;
    let commit = told.commit(&pipeline).await;
    told.github.come_back();

    told.shown(&commit, "goatherd/good", "success");
    told.shown(&commit, "goatherd/bad", "failure");
    // What was overtaken meanwhile is never sent.
    assert_eq!(told.github.taken().len(), 2, "{:#?}", told.github.taken());
    let log = told.installation.server.as_ref().unwrap().log();
    assert!(log.contains("the provider does not answer"), "{log}");
    assert!(log.contains("the provider answers again"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn statuses_that_were_not_sent_before_the_server_stopped_are_sent_after_its_start() {
    let mut told = Told::start();
    let _agent = told.installation.agent("one");
    told.github.go_away();
    let pipeline = told
        .installation
        .push("jobs: {only: {steps: [run: \"true\"]}}\n")
        .await;
    told.installation.ended(&pipeline).await;
    let commit = told.commit(&pipeline).await;

    let status = told.installation.server.as_mut().unwrap().stop();
    told.github.come_back();
    told.installation.start_server();

    assert!(status.success(), "{status}");
    told.shown(&commit, "goatherd/only", "success");
    told.assert_in_order(&commit, "goatherd/only");
}

#[tokio::test]
async fn a_server_without_a_token_says_so_once() {
    let installation = Installation::start(&Options::default());

    let log = installation.server.as_ref().unwrap().log();

    assert_eq!(log.matches("no commit statuses are sent").count(), 1, "{log}");
}
