//! A folder with a task agent, a configuration, and a running `orchestrator`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use internal_testing::{RunnerApi, binaries};
use serde_json::{Value, json};
use sys::process::Signal;
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "the-task-token";
const PATIENCE: Duration = Duration::from_secs(90);

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

/// The program under test: the one that was just built, or the one that `ORCHESTRATOR_BIN` names.
pub(crate) fn orchestrator() -> PathBuf {
    std::env::var_os("ORCHESTRATOR_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_orchestrator").into(), PathBuf::from)
}

/// Whether another orchestrator is under test: it is not asked for what only ours does.
pub(crate) fn another_is_tested() -> bool {
    let another = std::env::var_os("ORCHESTRATOR_BIN").is_some();
    if another {
        println!("skipped: ORCHESTRATOR_BIN is another orchestrator, and this is beyond what those do");
    }
    another
}

/// A command of `orchestrator` with an empty environment.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(orchestrator());
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

/// Runs it; its exit code, standard output and standard error.
pub(crate) fn output(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}

/// Where one task's things are.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) config: Value,
}

impl Place {
    /// A place whose task agent runs this shell script. The script finds the place's folder in `$PLACE`.
    pub(crate) fn new(script: &str) -> Self {
        let place = Self::empty();
        let agent = place.path("agent.sh");
        fs::write(&agent, script).expect("it is written");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o644)).expect("it is ours");
        place.with("task_agent_path", format!("/bin/sh {}", agent.display()))
    }

    /// A place whose task agent does what it is told (`fake_task_agent`), with `@` for the place's folder.
    pub(crate) fn told(words: &str) -> Self {
        let place = Self::empty();
        let agent = binaries::fake_task_agent().display().to_string();
        let path = format!("{agent} {}", place.words(words)).trim_end().to_owned();
        place.with("task_agent_path", path)
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Other users are to use it, too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        let config = json!({
            "task_id": "task-1",
            "token": TOKEN,
            "runner_api_base_url": "http://127.0.0.1:1",
            "allocation": "task-1.1",
            "max_run_time": 60_000_000_000_i64,
            "termination_message_path": folder.path().join("termination"),
        });
        Self { folder, config }
    }

    /// These words with the place's folder in them.
    pub(crate) fn words(&self, words: &str) -> String {
        words.replace('@', &self.folder.path().display().to_string())
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config[key] = value.into();
        self
    }

    /// With a custom entrypoint that does what it is told.
    pub(crate) fn with_entrypoint(self, words: &str) -> Self {
        let mut cmd = vec![binaries::fake_task_agent().display().to_string()];
        cmd.extend(self.words(words).split(' ').map(str::to_owned));
        self.with("cmd", cmd)
    }

    /// With a readiness file, which is not there yet.
    pub(crate) fn with_readiness_file(self) -> Self {
        let file = self.path("ready").display().to_string();
        self.with("readiness_file_path", file)
    }

    pub(crate) fn reporting_to(self, api: &RunnerApi) -> Self {
        self.with("runner_api_base_url", api.url())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file that someone in the place waits for.
    pub(crate) fn make(&self, name: &str) {
        fs::write(self.path(name), "\n").expect("it is written");
    }

    /// What was written there; nothing where nothing was.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What `record=@/NAME` wrote down.
    pub(crate) fn record(&self, name: &str) -> Value {
        serde_json::from_str(&self.wait_for(name)).expect("a record is JSON")
    }

    pub(crate) fn termination(&self) -> Value {
        serde_json::from_str(&self.text("termination")).expect("there is a termination message")
    }

    /// The termination message's sentence.
    pub(crate) fn last_words(&self) -> String {
        let message = self.termination();
        message["message"].as_str().expect("it has words").to_owned()
    }

    /// `orchestrator run-task`, ready to be started, with the configuration in its environment.
    pub(crate) fn command(&self) -> Command {
        self.command_by(&[])
    }

    /// As [`command`](Self::command), started by another program.
    pub(crate) fn command_by(&self, starter: &[&str]) -> Command {
        let mut command = self.bare_command(starter);
        command
            .arg("--health-check-addr=127.0.0.1:0")
            .env("CIRCLECI_GOAT_CONFIG", self.config.to_string());
        command
    }

    /// As [`command`](Self::command), with the configuration in a file.
    pub(crate) fn command_with_file(&self) -> Command {
        let file = self.path("config.json");
        fs::write(&file, self.config.to_string()).expect("it is written");
        let mut command = self.bare_command(&[]);
        command
            .arg("--health-check-addr=127.0.0.1:0")
            .env("CIRCLECI_GOAT_CONFIG_FILE", file);
        command
    }

    /// Without flags and without a configuration.
    pub(crate) fn bare_command(&self, starter: &[&str]) -> Command {
        let own = orchestrator().display().to_string();
        let words = [starter, &[own.as_str(), "run-task"]].concat();
        let (program, arguments) = words.split_first().expect("there are words");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PLACE", self.folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(self.path("stdout")).expect("it is made"))
            .stderr(File::create(self.path("log")).expect("it is made"));
        command
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(self.command())
    }

    /// Runs it to its end, and gives its exit code.
    pub(crate) fn run(&self) -> i32 {
        self.start().end()
    }

    /// As [`run`](Self::run), started by another program: see [`starters`](crate::starters).
    pub(crate) fn run_by(&self, starter: &[&str]) -> i32 {
        Running::start(self.command_by(starter)).end()
    }

    /// What it wrote to either stream: an engine shows both as one, and orchestrators differ in which they take.
    pub(crate) fn log(&self) -> String {
        let streams = ["stdout", "log"].map(|name| fs::read(self.path(name)).unwrap_or_default());
        String::from_utf8_lossy(&streams.concat()).into_owned()
    }

    /// Waits until this is in the log.
    pub(crate) fn wait_for_log(&self, words: &str) {
        eventually(words, || self.log().contains(words).then_some(()));
    }

    pub(crate) fn wait_for(&self, name: &str) -> String {
        eventually(name, || Some(self.text(name)).filter(|text| text.ends_with('\n')))
    }

    /// The address that the log names.
    pub(crate) fn address(&self) -> String {
        eventually("the address", || {
            let log = self.log();
            let (_, rest) = log.split_once("app.address=")?;
            let (line, _) = rest.split_once('\n')?;
            line.split_whitespace().next().map(str::to_owned)
        })
    }

    /// The pids of the processes whose command lines name the place's folder: those of this test alone.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let folder = self.folder.path().display().to_string();
        let pids = internal_testing::processes::all().into_iter();
        pids.filter(|&pid| internal_testing::processes::command_line(pid).contains(&folder))
            .map(|pid| i32::try_from(pid).expect("pids are small"))
            .collect()
    }
}

impl Drop for Place {
    /// A test that fails may leave some.
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = sys::process::kill_process(sys::process::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A started `orchestrator`. It is killed when it is dropped, and what it started with it.
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

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Sends a signal once the orchestrator has its handler, or its queue, for it: a task agent may run before.
    pub(crate) fn signal_once_taken(&self, signal: Signal) {
        let bit = (0..31)
            .find(|bit| Signal::try_from(bit + 1) == Ok(signal))
            .expect("a signal has a number");
        eventually("a taker of the signal", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
            let taken = status
                .lines()
                .filter_map(|line| line.strip_prefix("SigCgt:").or(line.strip_prefix("SigBlk:")))
                .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .any(|mask| mask >> bit & 1 == 1);
            taken.then_some(())
        });
        self.signal(signal);
    }

    pub(crate) fn end(self) -> i32 {
        let status = self.status();
        status.code().unwrap_or_else(|| panic!("{status}"))
    }

    pub(crate) fn status(mut self) -> std::process::ExitStatus {
        eventually("the orchestrator's end", || {
            self.child.try_wait().expect("it is ours")
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process of this test.
pub(crate) fn send(pid: i32, signal: Signal) {
    sys::process::kill_process(sys::process::Pid::from_raw(pid), signal).expect("it is ours");
}

/// What a GET at this address answers; nothing where nobody answers.
pub(crate) fn get(address: &str, path: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().unwrap_or_default()
}

/// Puts the two binaries into a folder, as far as `init` can tell.
pub(crate) fn binaries_in(folder: &Path) {
    for name in ["orchestrator", "circleci-agent"] {
        fs::write(folder.join(name), name).expect("it is written");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
}
