//! What the tests share: a server, a repository, an agent and a task agent.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use api::people::{JobView, PipelineStarted, PipelineView, TokenRequest};
use api::runner::claim::Claim;
use api::runner::{ApiError, ErrorCode, SHA256_HEADER, path};
use api::{AttemptRef, Millis, Secret};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use server::config::{GitSettings, Hook, Repository};
use server::{App, Config, ServerError};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The longest that anything in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The secret of the hook `github`.
pub(crate) const SECRET: &str = "test-secret";
/// A config of two jobs, the second of which needs the first.
pub(crate) const TWO_JOBS: &str = "\
jobs:
  build:
    steps:
      - checkout
      - run: make
      - upload: {source: app, destination: bin/app}
  test:
    requires: [build]
    steps:
      - run: ./app
";
/// A config of one job.
pub(crate) const ONE_JOB: &str = "jobs: {build: {steps: [checkout, run: make]}}\n";

/// A server that runs.
pub(crate) struct Server {
    pub(crate) data: TempDir,
    pub(crate) url: String,
    pub(crate) admin: Secret,
    config: Config,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), ServerError>>,
    http: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?} {}", self.text()))
    }

    #[track_caller]
    pub(crate) fn ok<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        self.json()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: ErrorCode) -> ApiError {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let error: ApiError = self.json();
        assert_eq!(error.code, code, "{error:?}");
        error
    }
}

impl Server {
    /// Starts a server that knows these repositories and the hook `github`.
    pub(crate) async fn start(repositories: &[&Repo]) -> Self {
        Self::start_with(repositories, |_| {}).await
    }

    /// The same, with other settings.
    pub(crate) async fn start_with(repositories: &[&Repo], change: impl FnOnce(&mut Config)) -> Self {
        // Another test may have chosen it already.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(data.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.git = GitSettings {
            tries: 2,
            backoff: Millis(10),
            timeout: Millis::seconds(60),
        };
        config.repositories = repositories.iter().map(|repo| repo.repository()).collect();
        config.hooks = vec![Hook::new("github", "github", Secret::new(SECRET)).unwrap()];
        change(&mut config);
        let app = App::build(config.clone()).await.unwrap();
        let admin = app.first_admin_token().unwrap().clone();
        Self::run(app, data, config, admin)
    }

    fn run(app: App, data: TempDir, config: Config, admin: Secret) -> Self {
        let url = app.public_url().to_owned();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        Self {
            data,
            url,
            admin,
            config,
            shutdown,
            running,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Ends it and starts it again on the same data, at another port.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(async || {}).await
    }

    /// The same, with something done while it is down.
    pub(crate) async fn restart_after(self, meanwhile: impl AsyncFnOnce()) -> Self {
        self.shutdown.cancel();
        within(self.running).await.unwrap().unwrap();
        meanwhile().await;
        let app = within(App::build(self.config.clone())).await.unwrap();
        assert!(app.first_admin_token().is_none(), "an admin token is made once");
        Self::run(app, self.data, self.config, self.admin)
    }

    /// Changes what it is told at its next start.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// The same, with other settings from then on.
    pub(crate) async fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self.restart().await
    }

    /// Ends it; what it was given is over.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.running).await.unwrap().unwrap();
    }

    /// Tells it to end, and goes on.
    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .timeout(PATIENCE)
    }

    pub(crate) async fn call(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap().to_vec();
        Reply { status, body }
    }

    pub(crate) async fn get(&self, token: &Secret, path: &str) -> Reply {
        self.call(self.request(Method::GET, path).bearer_auth(token.expose()))
            .await
    }

    pub(crate) async fn post(&self, token: &Secret, path: &str, body: &impl Serialize) -> Reply {
        let request = self.request(Method::POST, path).bearer_auth(token.expose());
        self.call(request.body(serde_json::to_vec(body).unwrap())).await
    }

    /// Sends a delivery as GitHub does.
    pub(crate) async fn deliver(&self, event: &str, id: &str, body: &[u8]) -> Reply {
        self.call(self.delivery("/webhook/github", event, id, body, &signature(SECRET, body)))
            .await
    }

    pub(crate) fn delivery(
        &self,
        path: &str,
        event: &str,
        id: &str,
        body: &[u8],
        signature: &str,
    ) -> reqwest::RequestBuilder {
        self.request(Method::POST, path)
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", id)
            .header("X-Hub-Signature-256", signature)
            .body(body.to_vec())
    }

    /// Pushes a commit, and waits until the pipeline has a plan or an end.
    pub(crate) async fn push(&self, repo: &Repo, commit: &str) -> PipelineView {
        let id = format!("delivery-{commit}-{}", repo.name);
        let reply = self.deliver("push", &id, &push_payload(&repo.name, commit)).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let started: PipelineStarted = reply.json();
        self.pipeline_when(started.pipeline.as_str(), |view| {
            !view.jobs.is_empty() || view.summary.outcome.is_some()
        })
        .await
    }

    pub(crate) async fn pipeline(&self, id: &str) -> PipelineView {
        self.get(&self.admin, &format!("/api/v1/pipelines/{id}"))
            .await
            .ok()
    }

    /// Waits for a pipeline to be as is wanted.
    pub(crate) async fn pipeline_when(
        &self,
        id: &str,
        wanted: impl Fn(&PipelineView) -> bool,
    ) -> PipelineView {
        within(async {
            loop {
                let view = self.pipeline(id).await;
                if wanted(&view) {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    pub(crate) async fn class_token(&self, class: &str) -> Secret {
        let request = TokenRequest {
            resource_class: class.to_owned(),
            description: String::new(),
        };
        let reply = self.post(&self.admin, "/api/v1/tokens", &request).await;
        reply.ok::<api::people::TokenResponse>().token
    }

    /// An agent of the default class.
    pub(crate) async fn agent(&self, id: &str) -> Agent {
        Agent {
            token: self.class_token("default").await,
            id: id.to_owned(),
            nonce: 0,
            holds: Vec::new(),
        }
    }
}

/// An agent, as the server sees it.
pub(crate) struct Agent {
    pub(crate) token: Secret,
    pub(crate) id: String,
    pub(crate) nonce: u64,
    pub(crate) holds: Vec<AttemptRef>,
}

impl Agent {
    pub(crate) fn holder(&self) -> Value {
        json!({"agent": self.id, "incarnation": 1})
    }

    /// A claim with the next nonce.
    pub(crate) fn next_claim(&mut self, wait: u64) -> Value {
        self.nonce += 1;
        json!({
            "holder": self.holder(), "nonce": self.nonce, "holds": self.holds, "free_slots": 1,
            "platform": {"os": "linux", "arch": "amd64"}, "driver": "local",
            "reach": "boot:place", "name": "machine", "wait": wait,
        })
    }

    pub(crate) async fn claim(&mut self, server: &Server) -> Claim {
        let request = self.next_claim(20_000);
        let reply = server.post(&self.token, path::CLAIM, &request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let claim: Claim = reply.json();
        self.holds.push(claim.attempt.clone());
        claim
    }
}

/// A task agent, as the server sees it.
pub(crate) struct TaskAgent<'a> {
    pub(crate) server: &'a Server,
    pub(crate) token: Secret,
    pub(crate) instance: &'static str,
}

impl<'a> TaskAgent<'a> {
    pub(crate) fn of(server: &'a Server, claim: &Claim) -> Self {
        Self {
            server,
            token: claim.token.clone(),
            instance: "instance-1",
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.server.request(method, path).bearer_auth(self.token.expose());
        request.header("X-Goatherd-Instance", self.instance)
    }

    pub(crate) async fn task(&self) -> Reply {
        self.server.call(self.request(Method::GET, path::TASK)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.server
            .call(self.request(Method::POST, path).body(body.to_string()))
            .await
    }

    pub(crate) async fn began(&self, step: u32) -> Reply {
        self.post(path::STEP, json!({"step": step, "event": "began", "time": 1}))
            .await
    }

    pub(crate) async fn ended(&self, step: u32, exit_code: i32) -> Reply {
        let event =
            json!({"step": step, "event": "ended", "time": 2, "exit_code": exit_code, "duration_ms": 5});
        self.post(path::STEP, event).await
    }

    pub(crate) async fn output(&self, step: u32, sequence: u64, text: &str) -> Reply {
        let bytes = serde_json::to_value(api::runner::task::Bytes(text.as_bytes().to_vec())).unwrap();
        let chunk =
            json!({"step": step, "sequence": sequence, "stream": "stdout", "time": 3, "bytes": bytes});
        self.post(path::OUTPUT, json!({"chunks": [chunk]})).await
    }

    pub(crate) async fn finish(&self, outcome: &str, last_sequence: u64) -> Reply {
        let cause = if outcome == "failed" {
            json!({"kind": "exit", "code": 3})
        } else {
            Value::Null
        };
        let record = json!({"outcome": outcome, "cause": cause, "steps": [], "last_sequence": last_sequence});
        self.post(path::FINISH, record).await
    }

    pub(crate) async fn upload(&self, name: &str, content: &[u8], sha256: &str) -> Reply {
        let request = self.request(Method::PUT, &format!("{}{name}", path::ARTIFACTS));
        self.server
            .call(request.header(SHA256_HEADER, sha256).body(content.to_vec()))
            .await
    }

    /// All that a task agent tells of a job that succeeds.
    pub(crate) async fn succeed(&self) {
        self.task().await.ok::<Value>();
        self.began(0).await.ok::<Value>();
        self.ended(0, 0).await.ok::<Value>();
        self.finish("succeeded", 0).await.ok::<Value>();
    }
}

/// A repository that is pushed from.
pub(crate) struct Repo {
    folder: TempDir,
    pub(crate) name: String,
}

impl Repo {
    pub(crate) fn new(name: &str) -> Self {
        let repo = Self {
            folder: tempfile::tempdir().unwrap(),
            name: name.to_owned(),
        };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// A repository with one commit, and that commit.
    pub(crate) fn with_config(name: &str, config: &str) -> (Self, String) {
        let repo = Self::new(name);
        let commit = repo.commit(".ci.yml", config);
        (repo, commit)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
        let mut command = Command::new("git");
        command.args(identity).args(arguments).current_dir(self.path());
        git_output(command)
    }

    pub(crate) fn commit(&self, file: &str, text: &str) -> String {
        std::fs::write(self.path().join(file), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn repository(&self) -> Repository {
        Repository::new(&self.name, self.path().to_str().unwrap()).unwrap()
    }
}

pub(crate) fn git_output(mut command: Command) -> String {
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn push_payload(repository: &str, commit: &str) -> Vec<u8> {
    let payload = json!({
        "ref": "refs/heads/main",
        "after": commit,
        "head_commit": {"id": commit, "message": "Change"},
        "repository": {"full_name": repository},
    });
    payload.to_string().into_bytes()
}

pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The job of this name.
pub(crate) fn job<'a>(view: &'a PipelineView, name: &str) -> &'a JobView {
    view.jobs.iter().find(|job| job.name == name).unwrap()
}

/// Waits for something, but not for ever.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it comes in time")
}
