//! A folder with a task agent, a configuration, and a running `orchestrator`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;

pub(crate) const TOKEN: &str = "the-task-token";
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where one task's things are.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) config: Value,
}

impl Place {
    /// A place whose task agent runs this shell script. The script finds the place's folder in `$PLACE`.
    pub(crate) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Other users are to read it, too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        let agent = folder.path().join("agent.sh");
        fs::write(&agent, script).expect("it is written");
        let config = json!({
            "task_id": "task-1",
            "token": TOKEN,
            "task_agent_path": format!("/bin/sh {}", agent.display()),
            "runner_api_base_url": "http://127.0.0.1:1",
            "allocation": "task-1.1",
            "max_run_time": 60_000_000_000_i64,
            "termination_message_path": folder.path().join("termination"),
        });
        Self { folder, config }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config[key] = value.into();
        self
    }

    pub(crate) fn reporting_to(self, api: &Api) -> Self {
        self.with("runner_api_base_url", api.url.as_str())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a script wrote; nothing where it wrote nothing.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn termination(&self) -> Value {
        serde_json::from_str(&self.text("termination")).expect("there is a termination message")
    }

    /// `orchestrator run-task`, ready to be started, with the configuration in its environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.command_below(&[]);
        command.env("CIRCLECI_GOAT_CONFIG", self.config.to_string());
        command
    }

    /// As [`command`](Self::command), started by another program.
    pub(crate) fn command_by(&self, starter: &[&str]) -> Command {
        let mut command = self.command_below(starter);
        command.env("CIRCLECI_GOAT_CONFIG", self.config.to_string());
        command
    }

    fn command_below(&self, starter: &[&str]) -> Command {
        let words = [starter, &[env!("CARGO_BIN_EXE_orchestrator"), "run-task"]].concat();
        let (program, arguments) = words.split_first().expect("there are words");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg("--health-check-addr=127.0.0.1:0")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PLACE", self.folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(self.path("stdout")).expect("it is made"))
            .stderr(File::create(self.path("log")).expect("it is made"));
        command
    }

    /// As [`command`](Self::command), with the configuration in a file.
    pub(crate) fn command_with_file(&self) -> Command {
        let file = self.path("config.json");
        fs::write(&file, self.config.to_string()).expect("it is written");
        let mut command = self.command_below(&[]);
        command.env("CIRCLECI_GOAT_CONFIG_FILE", file);
        command
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(self.command())
    }

    /// Runs it to its end, and gives its exit code.
    pub(crate) fn run(&self) -> i32 {
        self.start().end()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    pub(crate) fn wait_for(&self, name: &str) -> String {
        eventually(name, || Some(self.text(name)).filter(|text| text.ends_with('\n')))
    }
}

/// A started `orchestrator`. It is killed with what it started when it is dropped.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self {
            child: command.spawn().expect("it starts"),
        }
    }

    /// Its pid as this program sees it.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pids are small")
    }

    /// The pid of what `unshare` started.
    pub(crate) fn inner_pid(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        eventually("a child of unshare", || {
            fs::read_to_string(&path).ok()?.trim().parse().ok()
        })
    }

    pub(crate) fn signal(pid: i32, signal: sys::process::Signal) {
        sys::process::kill_process(sys::process::Pid::from_raw(pid), signal).expect("it is ours");
    }

    pub(crate) fn end(mut self) -> i32 {
        let status = eventually("the orchestrator's end", || {
            self.child.try_wait().expect("it is ours")
        });
        status.code().unwrap_or_else(|| panic!("{status}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What makes the next program the init of a new PID namespace, if this machine allows it.
pub(crate) fn as_init() -> Option<&'static [&'static str]> {
    const STARTER: &[&str] = &[
        "/usr/bin/unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
    ];
    let allowed = Command::new(STARTER[0])
        .args(&STARTER[1..])
        .arg("/bin/true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        println!("skipped: a PID namespace cannot be made here");
        assert!(
            std::env::var_os("CI").is_none(),
            "a PID namespace cannot be made here"
        );
    }
    allowed.then_some(STARTER)
}

/// Whether a process with this word in its command line runs.
pub(crate) fn runs(word: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("proc is mounted").flatten();
    processes
        .map(|entry| entry.path().join("cmdline"))
        .any(|file: PathBuf| has_word(&file, word))
}

fn has_word(file: &Path, word: &str) -> bool {
    let line = fs::read(file).unwrap_or_default();
    line.split(|&byte| byte == 0).any(|part| part == word.as_bytes())
}
