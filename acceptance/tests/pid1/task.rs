//! A task in a folder that becomes the root of its place, or in none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use internal_testing::{RunnerApi, binaries, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a task may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The token of every task here.
pub(crate) const TOKEN: &str = "the-task-token";

/// What one run needs and leaves.
pub(crate) struct Task {
    folder: TempDir,
    pub(crate) api: RunnerApi,
    pub(crate) config: Value,
}

impl Task {
    /// A task whose agent does these words (`fake_task_agent`). The root holds the two binaries and nothing else.
    pub(crate) fn in_root(words: &str) -> Self {
        Self::new(&format!("/circleci-agent {words}"))
    }

    /// A task in the file system of this machine.
    pub(crate) fn on_this_machine(words: &str) -> Self {
        Self::new(&format!("{} {words}", binaries::fake_task_agent().display()))
    }

    fn new(agent: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = RunnerApi::http();
        let config = json!({
            "task_id": "task-1",
            "token": TOKEN,
            "task_agent_path": agent,
            "runner_api_base_url": api.url(),
            "allocation": "task-1.1",
        });
        let task = Self { folder, api, config };
        fs::create_dir(task.root()).unwrap();
        fs::copy(
            binaries::folder().join("orchestrator"),
            task.root().join("orchestrator"),
        )
        .unwrap();
        fs::copy(binaries::fake_task_agent(), task.root().join("circleci-agent")).unwrap();
        // Any user may enter.
        for folder in [task.folder.path().to_owned(), task.root()] {
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        task
    }

    /// The folder that becomes the root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Starts `orchestrator`, as `starter` does it.
    pub(crate) fn start(&self, starter: &[&str], orchestrator: &Path) -> Running {
        let mut words: Vec<&str> = starter.to_vec();
        let orchestrator = orchestrator.display().to_string();
        words.extend([
            orchestrator.as_str(),
            "run-task",
            "--health-check-addr=127.0.0.1:0",
            "--termination-grace-period=5s",
        ]);
        let (program, arguments) = words.split_first().unwrap();
        let open = |name: &str| File::create(self.folder.path().join(name)).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("CIRCLECI_GOAT_CONFIG", self.config.to_string())
            .stdin(Stdio::null())
            .stdout(open("stdout"))
            .stderr(open("log"))
            .spawn()
            .unwrap();
        Running(child)
    }

    /// What the task agent wrote down with `record=-`.
    pub(crate) fn record(&self) -> Value {
        wait::until("a record", PATIENCE, || {
            let text = fs::read_to_string(self.folder.path().join("stdout")).unwrap();
            text.lines().find_map(|line| serde_json::from_str(line).ok())
        })
    }

    /// What was written to standard output.
    pub(crate) fn wait_for_output(&self, words: &str) {
        wait::until(words, PATIENCE, || {
            let text = fs::read_to_string(self.folder.path().join("stdout")).unwrap();
            text.contains(words).then_some(())
        });
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// It is killed when it is dropped, and with it what it started.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        wait::until("the orchestrator's end", PATIENCE, || self.0.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
