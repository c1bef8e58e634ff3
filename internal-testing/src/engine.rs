//! A Docker engine for tests (`demo/engine.sh`; `./do test` starts it), images made here without any registry, and
//! containers that end with their test.
//!
//! A test begins with `let Some(engine) = Engine::find() else { return };`. Containers have no network, or the host's
//! with `--network host`: the engine has no bridge. Process ids that it tells are those of its own PID namespace.

#![allow(clippy::print_stdout, reason = "a test that is skipped prints why")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wait;

/// The variable that names the engine's socket, or says `none` where there can be none.
const SOCKET: &str = "GOATHERD_ENGINE";
/// How often the end of a client is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
}

impl Engine {
    /// The engine. None where there is none; then the reason was printed, and the test is to return.
    ///
    /// # Panics
    /// Where there is none in CI, unless `GOATHERD_ENGINE=none` says that there can be none.
    #[must_use]
    pub fn find() -> Option<Self> {
        let told = std::env::var_os(SOCKET);
        if told.as_ref().is_some_and(|told| told == "none") {
            println!("skipped: {SOCKET}=none says that there can be no Docker engine here");
            return None;
        }
        let engine = Self {
            socket: told.map_or_else(own_socket, PathBuf::from),
        };
        let mut version = engine.docker();
        version.args(["version", "--format", "{{.Server.Version}}"]);
        let why = match version.output() {
            Ok(output) if output.status.success() => return Some(engine),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("docker: {error}"),
        };
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has a Docker engine, or {SOCKET}=none: {why}"
        );
        println!("skipped: no Docker engine answers ({why}); `./do engine` starts one");
        None
    }

    /// The engine behind a socket, which may be any.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Its socket, for clients of their own.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `docker` with this engine.
    #[must_use]
    pub fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(format!("unix://{}", self.socket.display()))
            .stdin(Stdio::null());
        command
    }

    /// Makes an image of the folder `root`, owned by root, unless there is one of this name. `changes` are lines of
    /// a Dockerfile, such as `ENV PATH=/bin`.
    ///
    /// # Panics
    /// When that fails.
    pub fn import(&self, name: &str, root: &Path, changes: &[&str]) {
        let there = self.docker().args(["image", "inspect", name]).output();
        if there.is_ok_and(|output| output.status.success()) {
            return;
        }
        let mut tar = Command::new("tar")
            .args(["--owner=0", "--group=0", "--numeric-owner", "-c", "-C"])
            .args([root, Path::new(".")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar runs");
        let mut import = self.docker();
        import.arg("import");
        for change in changes {
            import.args(["--change", change]);
        }
        let imported = import
            .args(["-", name])
            .stdin(tar.stdout.take().expect("it is piped"))
            .output()
            .expect("docker runs");
        assert!(tar.wait().expect("it is a child").success(), "tar failed");
        assert!(imported.status.success(), "{imported:?}");
    }

    /// The name of an image that holds nothing but busybox at `/bin/busybox` and its names beside it.
    ///
    /// # Panics
    /// Where the package `busybox-static` is missing.
    #[must_use]
    pub fn busybox(&self) -> &'static str {
        const NAME: &str = "goatherd-test/busybox:1";
        let root = TempDir::with_prefix("goatherd-test-").expect("a temporary folder can be made");
        let bin = root.path().join("bin");
        fs::create_dir(&bin).expect("it is ours");
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        let list = Command::new("/bin/busybox").arg("--list").output();
        for applet in String::from_utf8_lossy(&list.expect("it was copied").stdout).lines() {
            if applet != "busybox" {
                symlink("busybox", bin.join(applet)).expect("it is ours");
            }
        }
        furnish(root.path());
        self.import(NAME, root.path(), &["ENV PATH=/bin"]);
        NAME
    }

    /// The name of an image without programs, and the options that show it those of this host, read-only: a
    /// container with bash, git and whatever the host has, for nothing.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn host_programs(&self) -> (&'static str, Vec<String>) {
        const NAME: &str = "goatherd-test/host:1";
        let root = TempDir::with_prefix("goatherd-test-").expect("a temporary folder can be made");
        let mut options = vec!["--volume=/usr:/usr:ro".to_owned()];
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let there = Path::new("/").join(name);
            match fs::read_link(&there) {
                Ok(target) => symlink(target, root.path().join(name)).expect("it is ours"),
                Err(_) if there.is_dir() => options.push(format!("--volume=/{name}:/{name}:ro")),
                Err(_) => {}
            }
        }
        furnish(root.path());
        self.import(NAME, root.path(), &["ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        (NAME, options)
    }

    /// Runs a container to its end and gives what it said, with its exit code. It is gone then.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn run(&self, limit: Duration, options: &[&str], image: &str, command: &[&str]) -> Output {
        let container = Container {
            engine: self.clone(),
            name: unique_name(),
        };
        let mut docker = self.docker();
        docker
            .args(["run", "--name", &container.name])
            .args(options)
            .arg(image)
            .args(command);
        output_within(docker, limit, &container.name)
    }

    /// Starts a container that goes with what is returned.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(&self, options: &[&str], image: &str, command: &[&str]) -> Container {
        let container = Container {
            engine: self.clone(),
            name: unique_name(),
        };
        let mut arguments = vec!["run", "--detach", "--name", &container.name];
        arguments.extend(options);
        arguments.push(image);
        arguments.extend(command);
        self.told(&arguments);
        container
    }

    /// What `docker` says to some arguments.
    ///
    /// # Panics
    /// When it fails.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.docker().args(arguments).output().expect("docker runs");
        assert!(output.status.success(), "docker {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// A container. Dropped, it is removed, running or not.
#[derive(Debug)]
pub struct Container {
    engine: Engine,
    name: String,
}

impl Container {
    /// Its name, for [`Engine::docker`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A field of `docker inspect`, such as `{{.State.OOMKilled}}`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn inspect(&self, format: &str) -> String {
        self.engine.told(&["inspect", "--format", format, &self.name])
    }

    /// All that it wrote so far, standard error behind standard output.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn output(&self) -> String {
        let output = self.engine.docker().args(["logs", &self.name]).output();
        let output = output.expect("docker runs");
        [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat()
    }

    /// Runs a command in it.
    ///
    /// # Panics
    /// When `docker` cannot be executed.
    pub fn exec(&self, command: &[&str]) -> Output {
        let mut docker = self.engine.docker();
        docker.args(["exec", &self.name]).args(command);
        docker.output().expect("docker runs")
    }

    /// Sends a signal, such as `TERM`, to its first process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, name: &str) {
        self.engine.told(&["kill", "--signal", name, &self.name]);
    }

    /// Waits for its end and gives its exit code: 128 and the signal's number where a signal ended it.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> i32 {
        wait::until("a container to end", limit, || {
            let state = self.inspect("{{.State.Running}} {{.State.ExitCode}}");
            state.strip_prefix("false ")?.parse().ok()
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut docker = self.engine.docker();
        docker.args(["rm", "--force", "--volumes", &self.name]);
        // Where it is gone there is nothing to do, and where the engine is, nobody to do it.
        docker.output().ok();
    }
}

/// Where `demo/engine.sh` of this clone puts it.
fn own_socket() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/engine.sh");
    let told = Command::new(script).arg("socket").output().expect("it runs");
    String::from_utf8_lossy(&told.stdout).trim().into()
}

/// What every root has besides programs.
fn furnish(root: &Path) {
    for name in ["dev", "etc", "home", "proc", "root", "run", "sys", "usr", "var"] {
        fs::create_dir_all(root.join(name)).expect("it is ours");
    }
    fs::create_dir(root.join("tmp")).expect("it is ours");
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("it is ours");
    // A temporary folder is its maker's alone.
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("it is ours");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("it is ours");
}

fn unique_name() -> String {
    static CONTAINERS: AtomicU32 = AtomicU32::new(0);
    let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
    format!("goatherd-test-{}-{number}", std::process::id())
}

/// Waits for a client of the engine no longer than its container may take.
fn output_within(mut docker: Command, limit: Duration, what: &str) -> Output {
    let mut child = docker
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker runs");
    let streams = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| read_all(streams.0));
        let stderr = scope.spawn(|| read_all(streams.1));
        let until = Instant::now() + limit;
        let mut is_late = false;
        let status = loop {
            match child.try_wait().expect("it is a child") {
                Some(status) => break status,
                None if !is_late && Instant::now() > until => {
                    is_late = true;
                    child.kill().expect("it is a child");
                }
                None => std::thread::sleep(LOOK),
            }
        };
        let output = Output {
            status,
            stdout: stdout.join().expect("it only reads"),
            stderr: stderr.join().expect("it only reads"),
        };
        assert!(!is_late, "{what} has not ended within {limit:?}: {output:?}");
        output
    })
}

fn read_all(stream: Option<impl Read>) -> Vec<u8> {
    let mut text = Vec::new();
    // What was read before a failure is what there is to show.
    stream.map(|mut stream| stream.read_to_end(&mut text));
    text
}
