//! Starting the compiled task agent as GOAT does, and looking at what it does.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use api::operation::{Operation, Step, When};
use api::runner::task::{Source, Task};
use api::{AttemptRef, Millis, PipelineId, Secret, TaskId, Terms};

use crate::server::{FakeServer, GIT_TOKEN, TOKEN};

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_circleci-agent");

pub(crate) fn terms() -> Terms {
    Terms {
        presence: Millis::seconds(3),
        lease_before: Millis::seconds(3),
        lease_after: Millis::seconds(10),
        long_poll: Millis::seconds(1),
        grace: Millis::seconds(2),
        slack: Millis::seconds(2),
        resend: Millis::seconds(60),
        ..Terms::default()
    }
}

pub(crate) fn task(steps: Vec<Step>) -> Task {
    Task {
        attempt: AttemptRef::new(TaskId::new("t-1").expect("an id"), 1),
        pipeline: PipelineId::new("p-1").expect("an id"),
        job: "build".to_owned(),
        source: Source {
            repository: "acme/app".to_owned(),
            clone_url: None,
            token: Some(Secret::new(GIT_TOKEN)),
            commit: "0".repeat(40),
            reference: "refs/heads/main".to_owned(),
        },
        steps,
        environment: BTreeMap::new(),
        secrets: BTreeMap::from([("PASSWORD".to_owned(), Secret::new("correct horse battery"))]),
        working_directory: "~/project".to_owned(),
        shell: None,
        time_limit: Millis::seconds(600),
        time_used: Millis(0),
        terms: terms(),
        stored: 0,
    }
}

pub(crate) fn run(command: &str) -> Step {
    when(When::OnSuccess, command)
}

pub(crate) fn when(when: When, command: &str) -> Step {
    Step {
        name: format!("run {}", command.split(' ').next().unwrap_or_default()),
        when,
        operation: Operation::Run {
            command: command.to_owned(),
            shell: None,
            working_directory: None,
            environment: BTreeMap::new(),
            no_output_timeout: None,
        },
    }
}

pub(crate) fn checkout() -> Step {
    Step {
        name: "checkout".to_owned(),
        when: When::OnSuccess,
        operation: Operation::Checkout { path: None },
    }
}

pub(crate) fn upload(source: &str, destination: Option<&str>) -> Step {
    Step {
        name: "upload".to_owned(),
        when: When::OnSuccess,
        operation: Operation::Upload {
            source: source.to_owned(),
            destination: destination.map(str::to_owned),
        },
    }
}

/// A task agent at work, with a home of its own.
pub(crate) struct Agent {
    child: Child,
    home: tempfile::TempDir,
}

/// What differs from the usual.
#[derive(Default)]
pub(crate) struct Unusual<'a> {
    /// As another user, where the test is root.
    pub(crate) user: Option<u32>,
    pub(crate) path: Option<&'a str>,
}

impl Agent {
    pub(crate) fn start(server: &FakeServer) -> Self {
        Self::start_unusually(server, Unusual::default())
    }

    pub(crate) fn start_unusually(server: &FakeServer, unusual: Unusual<'_>) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("tmp")).expect("made");
        let other_user = unusual.user.filter(|_| is_root());
        let mut program = PathBuf::from(AGENT);
        if other_user.is_some() {
            // The folder that it was built in may be root's alone.
            program = home.path().join("circleci-agent");
            fs::copy(AGENT, &program).expect("copied");
        }
        let mut command = Command::new(program);
        command
            .args(["_internal", "agent-runner", "--verbose"])
            .arg(format!("--runnerAPIBaseURL={}", server.url()))
            .args([
                "--allocation=t-1.1",
                "--disableSpinUpStep",
                "--disableIsolatedSSHDir",
            ])
            .args(["--maxRunTime=0s"])
            .env("HOME", home.path())
            .env("TMPDIR", home.path().join("tmp"))
            .env("GOATHERD_INSTANCE", "instance-1")
            .env("CIRCLECI_GOAT_LEFT", "over")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stderr(fs::File::create(home.path().join("agent.log")).expect("made"));
        if let Some(path) = unusual.path {
            command.env("PATH", path);
        }
        if let Some(user) = other_user {
            for folder in [home.path().to_owned(), home.path().join("tmp")] {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("set");
            }
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(TOKEN.as_bytes()).expect("written");
        Self { child, home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.home.path().join("project")
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        until("the task agent has ended", || {
            self.child.try_wait().expect("it is ours")
        })
    }

    /// What it said about itself.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("agent.log")).unwrap_or_default()
    }

    /// Whether it cleaned up after itself.
    pub(crate) fn left_nothing(&self) -> bool {
        fs::read_dir(self.home.path().join("tmp"))
            .expect("readable")
            .next()
            .is_none()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
    }
}

/// Waits until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a file with a process id in it.
pub(crate) fn pid_in(file: &Path) -> u32 {
    until("a process wrote its id", || {
        fs::read_to_string(file).ok()?.trim().parse().ok()
    })
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    status
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
