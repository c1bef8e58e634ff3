//! A server with agents and a repository, all real, in one temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use api::people::{EventKind, JobView, PipelineView};
use api::{PipelineId, Secret, TaskId, Terms};
use client::Client;
use futures_util::StreamExt as _;

use crate::folder::Folder;
use crate::provider::{self, delivery_id};
use crate::{Daemon, Provider, Repository, binaries, processes, wait};

/// How long anything may take that a test waits for, unless it says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The repository's name on the server.
pub const REPOSITORY: &str = "acme/app";

/// The secret that pushes are signed with.
const HOOK_SECRET: &str = "a secret for tests";

/// What differs from a usual installation.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's terms.
    pub terms: Terms,
    /// Whether it is `server --dev`: server and agent in one process.
    pub dev: bool,
    /// Repositories that the server knows beside [`REPOSITORY`].
    pub others: Vec<&'static str>,
    /// More lines for the repository in the server's configuration.
    pub repository_settings: String,
    /// More sections for the server's configuration.
    pub settings: String,
    /// Where the server listens.
    pub listen: String,
}

impl Default for Options {
    /// Terms so short that a test can see them end.
    fn default() -> Self {
        Self {
            terms: Terms {
                presence: api::Millis::seconds(3),
                lease_before: api::Millis::seconds(3),
                lease_after: api::Millis::seconds(10),
                long_poll: api::Millis::seconds(1),
                window: api::Millis::seconds(2),
                grace: api::Millis::seconds(2),
                slack: api::Millis::seconds(3),
                resend: api::Millis::seconds(60),
                ..Terms::default()
            },
            dev: false,
            others: Vec::new(),
            repository_settings: String::new(),
            settings: String::new(),
            listen: "127.0.0.1:0".to_owned(),
        }
    }
}

/// An installation.
#[derive(Debug)]
pub struct Installation {
    /// The repository that the server knows as [`REPOSITORY`].
    pub repository: Repository,
    /// The others, by their names.
    others: BTreeMap<&'static str, Repository>,
    /// The server's process; none while it is down.
    pub server: Option<Daemon>,
    address: String,
    dev: bool,
    /// Dropped last: the server's process ends before.
    folder: Folder,
}

impl Installation {
    /// Makes a repository and starts a server; agents come with [`agent`](Self::agent).
    ///
    /// # Panics
    /// When something of it fails.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let folder = Folder::new();
        // Tasks of another user must be able to go through it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("the folder is ours");
        let repository = Repository::new(&folder.path().join("repository"));
        let others = options.others.iter().map(|name| {
            let place = folder.path().join("others").join(name);
            (*name, Repository::new(&place))
        });
        let others = others.collect();
        fs::create_dir(folder.path().join("gate")).expect("a folder can be made");
        let mut installation = Self {
            repository,
            others,
            server: None,
            address: options.listen.clone(),
            dev: options.dev,
            folder,
        };
        installation.configure(options);
        installation.start_server();
        // The port stays the server's over its restarts.
        installation.configure(options);
        installation
    }

    /// The installation's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is when this ends.
    pub fn keep(&mut self) {
        self.folder.keep();
    }

    /// A folder that steps see, read-only, at its own path: files in it are messages to them.
    #[must_use]
    pub fn gate(&self) -> PathBuf {
        self.folder().join("gate")
    }

    /// Lets steps go on that wait for `name` in the gate.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn open_gate(&self, name: &str) {
        fs::write(self.gate().join(name), "").expect("a file can be written");
    }

    /// A shell command that waits for `name` in the gate.
    #[must_use]
    pub fn wait_at_gate(&self, name: &str) -> String {
        format!(
            "until [ -e {}/{name} ]; do sleep 0.05; done",
            self.gate().display()
        )
    }

    /// Where the local driver of all agents keeps its places.
    #[must_use]
    pub fn place_root(&self) -> PathBuf {
        self.folder().join("places")
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn configure(&self, options: &Options) {
        let terms = serde_json::to_value(&options.terms).expect("terms are JSON");
        let terms: String = terms
            .as_object()
            .expect("terms are an object")
            .iter()
            .map(|(name, value)| format!("{name} = \"{value}ms\"\n"))
            .collect();
        let others = self.others.iter().map(|(name, repository)| (*name, repository));
        let repositories: String = [(REPOSITORY, &self.repository)]
            .into_iter()
            .chain(others)
            .map(|(name, repository)| {
                let source = repository.folder().display();
                let settings = if name == REPOSITORY {
                    options.repository_settings.as_str()
                } else {
                    ""
                };
                format!("[[repository]]\nname = \"{name}\"\nsource = \"{source}\"\n{settings}\n\n")
            })
            .collect();
        let config = format!(
            "listen = \"{}\"\ndata = \"{}\"\n\n{repositories}\
             [[hook]]\nname = \"github\"\nprovider = \"github\"\nsecret = \"{HOOK_SECRET}\"\n\n[terms]\n{terms}\n{}\n",
            self.address,
            self.folder().join("server").display(),
            options.settings,
        );
        fs::write(self.folder().join("goatherd.toml"), config).expect("a file can be written");
    }

    /// Starts the server, again after a kill.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_server(&mut self) {
        self.launch_server();
        self.await_server();
    }

    /// Starts the server's process and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch_server(&mut self) {
        let address_file = self.folder().join("address");
        // What an earlier start wrote says nothing about this one.
        fs::remove_file(&address_file).ok();
        let mut command = Command::new(binaries::goatherd());
        command
            .arg("server")
            .arg("--config")
            .arg(self.folder().join("goatherd.toml"));
        command.arg("--address-file").arg(&address_file);
        command
            .arg("--admin-token-file")
            .arg(self.folder().join("admin-token"));
        if self.dev {
            command.arg("--dev").arg("--expose").arg(self.gate());
        }
        self.server = Some(Daemon::start("server", command, self.folder()));
    }

    /// Waits until the server's process listens.
    ///
    /// # Panics
    /// When it does not, or none was launched.
    pub fn await_server(&mut self) {
        let address_file = self.folder().join("address");
        let server = self.server.as_mut().expect("a server was launched");
        self.address = wait::until("the server to listen", PATIENCE, || {
            assert!(server.ended().is_none(), "the server ended: {}", server.log());
            let text = fs::read_to_string(&address_file).ok()?;
            (!text.trim().is_empty()).then(|| text.trim().to_owned())
        });
    }

    /// `kill -9` to the server.
    ///
    /// # Panics
    /// When it is down already.
    pub fn kill_server(&mut self) {
        self.server.take().expect("the server is up").kill();
    }

    /// Starts a server that is refused because of its configuration, and gives what it says.
    ///
    /// # Panics
    /// When it cannot be started, or ends well.
    #[must_use]
    pub fn try_server(&self) -> String {
        let output = Command::new(binaries::goatherd())
            .arg("server")
            .arg("--config")
            .arg(self.folder().join("goatherd.toml"))
            .output()
            .expect("goatherd runs");
        assert!(!output.status.success(), "the server is refused");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What the server answers an admin at a path, whole.
    ///
    /// # Panics
    /// When it does not answer with success.
    pub async fn answer(&self, path: &str) -> Vec<u8> {
        let http = provider::plain_http();
        let request = http
            .get(format!("{}/{path}", self.url()))
            .bearer_auth(self.admin_token().expose());
        let response = request.send().await.expect("the server answers");
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.bytes().await.expect("the answer is whole").to_vec()
    }

    /// An agent with this name, its own state and the common place root. Starting one of the same name again
    /// is a restart.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn agent(&self, name: &str) -> Daemon {
        self.agent_with(name, &[])
    }

    /// An agent with more arguments.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn agent_with(&self, name: &str, arguments: &[&str]) -> Daemon {
        self.start_agent(name, Command::new(binaries::goatherd()), arguments)
    }

    /// An agent that is started by `wrapper`, a command that executes the words after its own.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn agent_through(&self, name: &str, wrapper: &[&str]) -> Daemon {
        self.agent_through_with(name, wrapper, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn agent_through_with(&self, name: &str, wrapper: &[&str], arguments: &[&str]) -> Daemon {
        let (program, words) = wrapper.split_first().expect("a wrapper is a command");
        let mut command = Command::new(program);
        command.args(words).arg(binaries::goatherd());
        self.start_agent(name, command, arguments)
    }

    fn start_agent(&self, name: &str, mut command: Command, arguments: &[&str]) -> Daemon {
        let token_file = self.folder().join("agent-token");
        if !token_file.exists() {
            let output = Command::new(binaries::goatherd())
                .args(["token", "create", "--class", "default", "--server", &self.url()])
                .env("GOATHERD_TOKEN", self.admin_token().expose())
                .output()
                .expect("goatherd runs");
            assert!(
                output.status.success(),
                "token create: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            fs::write(&token_file, output.stdout).expect("a file can be written");
        }
        command.args(["agent", "--server", &self.url(), "--name", name]);
        command.arg("--token-file").arg(token_file);
        command
            .arg("--state")
            .arg(self.folder().join(format!("agent-{name}")));
        command.arg("--place-root").arg(self.place_root());
        command.arg("--expose").arg(self.gate());
        command.args(arguments);
        Daemon::start(name, command, self.folder())
    }

    /// How many places there are, of all agents.
    #[must_use]
    pub fn places(&self) -> usize {
        // Before the first place there is no folder for them.
        fs::read_dir(self.place_root()).map_or(0, |entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names
                .filter(|name| !name.to_string_lossy().starts_with('.'))
                .count()
        })
    }

    /// Waits until every place is removed and nothing of one runs.
    ///
    /// # Panics
    /// When something stays.
    pub fn places_gone(&self) {
        wait::until("the places to be removed", PATIENCE, || {
            let runs = !processes::sandboxes(&self.place_root()).is_empty();
            (self.places() == 0 && !runs).then_some(())
        });
    }

    /// The admin token.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn admin_token(&self) -> Secret {
        let text = fs::read_to_string(self.folder().join("admin-token")).expect("the server wrote a token");
        Secret::new(text.trim())
    }

    /// A client with the admin token.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::builder(&self.url())
            .token(self.admin_token())
            .build()
            .expect("a client can be made")
    }

    /// Commits `config` as `.ci.yml`, and pushes.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn push(&self, config: &str) -> PipelineId {
        self.push_to(REPOSITORY, config).await
    }

    /// The same in the repository of this name.
    ///
    /// # Panics
    /// When there is none, or the server does not take it.
    pub async fn push_to(&self, name: &str, config: &str) -> PipelineId {
        let repository = if name == REPOSITORY {
            &self.repository
        } else {
            self.others
                .get(name)
                .expect("the installation has the repository")
        };
        let commit = repository.commit(".ci.yml", config);
        let body = provider::push(name, &commit);
        let (status, answer) = self.deliver(&body, None).await;
        assert_eq!(status, 202, "the push was not taken: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer in JSON");
        let id = answer["pipeline"].as_str().expect("an answer with a pipeline");
        PipelineId::new(id).expect("a pipeline id")
    }

    /// Posts a delivery as GitHub does: signed with the hook's secret, or with this signature.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn deliver(&self, body: &[u8], signature: Option<&str>) -> (u16, String) {
        self.provider()
            .deliver(&delivery_id(), body, signature)
            .await
            .expect("the server answers")
    }

    /// The provider that pushes come from.
    #[must_use]
    pub fn provider(&self) -> Provider {
        Provider::new(&self.url(), HOOK_SECRET)
    }

    /// The pipeline now.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn pipeline(&self, id: &PipelineId) -> PipelineView {
        self.client()
            .pipeline(id)
            .await
            .expect("the server knows the pipeline")
    }

    /// Waits until `look` finds something in the pipeline.
    ///
    /// # Panics
    /// When it has not in time.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        id: &PipelineId,
        look: impl Fn(&PipelineView) -> Option<T>,
    ) -> T {
        let client = self.client();
        let look = &look;
        let client = &client;
        wait::until_async(what, PATIENCE, || async move {
            let view = client.pipeline(id).await.ok()?;
            look(&view)
        })
        .await
    }

    /// Waits until the pipeline has ended.
    ///
    /// # Panics
    /// When it has not in time.
    pub async fn ended(&self, id: &PipelineId) -> PipelineView {
        self.wait_for("the pipeline to end", id, |view| {
            view.summary.outcome.map(|_| view.clone())
        })
        .await
    }

    /// Waits until the job's log holds `text`.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn logged(&self, id: &PipelineId, text: &str) {
        let client = self.client();
        let events = client.events(id, 0).await.expect("the server streams events");
        let mut events = Box::pin(events);
        let mut seen = String::new();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(Ok((_, event))) = events.next().await {
                if let EventKind::StepOutput { text, .. } = event.what {
                    seen.push_str(&text);
                }
                if seen.contains(text) {
                    return true;
                }
            }
            false
        })
        .await;
        assert!(
            matches!(found, Ok(true)),
            "the log does not hold {text:?}; it holds {seen:?}"
        );
    }

    /// Reads a job's log as it is stored, piece by piece.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn read_log(&self, task: &TaskId, mut take: impl FnMut(&[u8])) {
        let response = provider::plain_http()
            .get(format!("{}/api/v1/jobs/{task}/log", self.url()))
            .bearer_auth(self.admin_token().expose())
            .send()
            .await
            .expect("the server answers");
        assert!(response.status().is_success(), "the log: {}", response.status());
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            take(&piece.expect("the log is whole"));
        }
    }

    /// The whole output of a pipeline that has ended.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn output(&self, id: &PipelineId) -> String {
        let text = |what| match what {
            EventKind::StepOutput { text, .. } => text,
            _ => String::new(),
        };
        self.events(id).await.into_iter().map(text).collect()
    }

    /// The details of all phases of a pipeline that has ended.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn phases(&self, id: &PipelineId) -> Vec<String> {
        let detail = |what| match what {
            EventKind::JobPhase { detail, .. } => Some(detail),
            _ => None,
        };
        self.events(id).await.into_iter().filter_map(detail).collect()
    }

    async fn events(&self, id: &PipelineId) -> Vec<EventKind> {
        let client = self.client();
        let events = client.events(id, 0).await.expect("the server streams events");
        events
            .map(|event| event.expect("an event").1.what)
            .collect()
            .await
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // With `--dev` the server has an agent, which could make another place.
        drop(self.server.take());
        // Places outlive their agents by design; a test's must not outlive the test.
        for sandbox in processes::sandboxes(self.folder()) {
            processes::kill(sandbox);
        }
    }
}

/// The only job of a pipeline.
///
/// # Panics
/// When there is not exactly one.
#[must_use]
pub fn only_job(view: &PipelineView) -> &JobView {
    assert_eq!(view.jobs.len(), 1, "one job is expected");
    &view.jobs[0]
}
