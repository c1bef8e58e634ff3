//! A driver with a place root of its own, and a shell script in GOAT's place.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use api::{AgentId, AttemptRef, Millis, Secret, TaskId, Terms};
use driver::local::{Isolation, LocalDriver, LocalSettings};
use driver::{Driver, DriverError, Exit, Labels, Order, Progress};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Names the sandbox program where it is not where it was compiled, or where it is another one.
pub(crate) const SANDBOX: &str = "DRIVER_TEST_SANDBOX";
/// The sandbox program under a filter that refuses namespaces.
pub(crate) const CONTAINED: &str = env!("CARGO_BIN_EXE_driver-sandbox-contained");

pub(crate) struct Host {
    _folder: TempDir,
    pub(crate) places: PathBuf,
    pub(crate) bin: PathBuf,
    pub(crate) exposed: PathBuf,
    pub(crate) driver: LocalDriver,
    sandbox: PathBuf,
    mark: String,
}

impl Host {
    /// `$MARK` in the script is a number of seconds that no other test sleeps, `$EXPOSED` a folder.
    pub(crate) fn new(script: &str) -> Self {
        Self::with_sandbox(script, &sandbox_program())
    }

    /// With another sandbox program than the usual one.
    pub(crate) fn with_sandbox(script: &str, sandbox: &Path) -> Self {
        static HOSTS: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::Builder::new()
            .prefix("goatherd-driver-")
            .tempdir()
            .unwrap();
        let at = |name: &str| folder.path().join(name);
        // Tasks without namespaces come through it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(at("bin")).unwrap();
        fs::create_dir(at("exposed")).unwrap();
        fs::write(at("bin/circleci-agent"), "").unwrap();
        fs::set_permissions(at("bin/circleci-agent"), fs::Permissions::from_mode(0o755)).unwrap();
        let mark = format!(
            "9{}.{}",
            std::process::id(),
            HOSTS.fetch_add(1, Ordering::Relaxed)
        );
        write_script(&at("bin"), &at("exposed"), &mark, script);
        Self {
            driver: LocalDriver::new(settings(folder.path(), sandbox)).unwrap(),
            places: at("places"),
            bin: at("bin"),
            exposed: at("exposed"),
            sandbox: sandbox.to_owned(),
            mark,
            _folder: folder,
        }
    }

    pub(crate) fn set_script(&self, script: &str) {
        write_script(&self.bin, &self.exposed, &self.mark, script);
    }

    pub(crate) fn driver_with(
        &self,
        change: impl FnOnce(&mut LocalSettings),
    ) -> Result<LocalDriver, DriverError> {
        let mut settings = settings(self.bin.parent().unwrap(), &self.sandbox);
        change(&mut settings);
        LocalDriver::new(settings)
    }

    pub(crate) fn another_driver(&self, lifeline: bool) -> LocalDriver {
        self.driver_with(|settings| settings.lifeline = lifeline).unwrap()
    }

    pub(crate) fn order(&self) -> Order {
        order()
    }

    pub(crate) fn progress(&self) -> UnboundedSender<Progress> {
        unbounded_channel().0
    }

    pub(crate) async fn start(&self) {
        self.driver.start(&self.order(), self.progress()).await.unwrap();
    }

    pub(crate) async fn run(&self) -> Exit {
        self.start().await;
        self.driver.wait(&attempt()).await.unwrap()
    }

    pub(crate) fn place(&self) -> PathBuf {
        self.places.join(attempt().to_string())
    }

    /// The processes that sleep for `$MARK` seconds.
    pub(crate) fn running(&self) -> Vec<i32> {
        let command_line = format!("sleep\0{}\0", self.mark);
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == command_line.as_bytes())
            })
            .collect()
    }

    /// The place's `sandbox` or `goat`, as the host sees it.
    pub(crate) fn process(&self, role: &str) -> i32 {
        let state = fs::read(self.place().join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state[role]["pid"].as_i64().unwrap().try_into().unwrap()
    }

    pub(crate) fn kill(&self, role: &str, signal: &str) {
        let pid = self.process(role).to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &pid])
            .status();
        assert!(status.unwrap().success());
    }

    pub(crate) async fn until_log_says(&self, line: &str) {
        let log = self.place().join("goat.log");
        eventually(line, || {
            fs::read_to_string(&log).is_ok_and(|log| log.lines().any(|found| found == line))
        })
        .await;
    }

    /// Removes the place, and proves that nothing is left.
    pub(crate) async fn close(self) {
        self.driver.remove(&attempt()).await.unwrap();
        assert!(!self.place().exists());
        assert_eq!(self.running(), Vec::<i32>::new());
    }
}

impl Drop for Host {
    /// After a failed test, the sandbox and with it all that it started.
    fn drop(&mut self) {
        if self.place().join("state.json").exists() {
            let pid = self.process("sandbox");
            if lives(pid) {
                self.kill("sandbox", "KILL");
            }
        }
    }
}

/// A driver of the host that has this folder.
pub(crate) fn driver_in(folder: &Path) -> LocalDriver {
    LocalDriver::new(settings(folder, &sandbox_program())).unwrap()
}

pub(crate) fn order() -> Order {
    Order {
        labels: Labels {
            installation: "installation".to_owned(),
            attempt: attempt(),
            agent: AgentId::new("agent").unwrap(),
            incarnation: 1,
            job: "build".to_owned(),
        },
        token: Secret::new("the-token"),
        runner_api_url: "http://127.0.0.1:1".to_owned(),
        image: None,
        services: Vec::new(),
        time_limit: Millis::seconds(60),
        terms: Terms::default(),
    }
}

fn settings(folder: &Path, sandbox: &Path) -> LocalSettings {
    LocalSettings {
        place_root: folder.join("places"),
        bin_dir: folder.join("bin"),
        sandbox_program: sandbox.to_owned(),
        isolation: Isolation::Auto,
        lifeline: false,
        expose: Vec::new(),
        environment: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn sandbox_program() -> PathBuf {
    std::env::var_os(SANDBOX)
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_driver-sandbox").into())
        .into()
}

fn write_script(bin: &Path, exposed: &Path, mark: &str, script: &str) {
    let orchestrator = bin.join("orchestrator");
    let exposed = exposed.display();
    fs::write(
        &orchestrator,
        format!("#!/bin/sh\nMARK={mark} EXPOSED={exposed}\n{script}\n"),
    )
    .unwrap();
    fs::set_permissions(&orchestrator, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn attempt() -> AttemptRef {
    AttemptRef::new(TaskId::new("t").unwrap(), 1)
}

pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .unwrap()
        .contains("\nUid:\t0\t0\t")
}

/// Whether a process exists and is no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// This test program and the sandbox program, where another user can execute them.
pub(crate) struct Copied(TempDir);

impl Copied {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("goatherd-driver-")
            .tempdir()
            .unwrap();
        let tests = std::env::current_exe().unwrap();
        for (from, to) in [
            (tests.as_path(), "tests"),
            (Path::new(env!("CARGO_BIN_EXE_driver-sandbox")), "sandbox"),
            (Path::new(CONTAINED), "contained"),
        ] {
            fs::copy(from, folder.path().join(to)).unwrap();
            fs::set_permissions(folder.path().join(to), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(folder.path().join("tmp")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// Runs those tests whose names begin with `filter`.
    pub(crate) fn run_as(&self, uid: u32, sandbox: &str, filter: &str) -> Output {
        let at = |name: &str| self.0.path().join(name);
        chown(at("tmp"), Some(uid), Some(uid)).unwrap();
        Command::new("setpriv")
            .args([
                format!("--reuid={uid}"),
                format!("--regid={uid}"),
                "--clear-groups".to_owned(),
            ])
            .arg(at("tests"))
            .args(["--test-threads", "4", filter])
            .current_dir("/")
            .env(SANDBOX, at(sandbox))
            .env("TMPDIR", at("tmp"))
            .output()
            .expect("setpriv (util-linux) is installed")
    }
}
