//! A program that runs beside a test, and ends with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::processes::{self, Pid};
use crate::wait;

/// How long a program may take to end after TERM.
const END: Duration = Duration::from_secs(30);

/// A running program whose output goes to files.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Starts `command`; its output goes to `NAME.out` and `NAME.log` in `folder`, after what is there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let open = |ending: &str| {
            let path = folder.join(format!("{name}.{ending}"));
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a log can be opened")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(open("out"))
            .stderr(open("log"))
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            folder: folder.to_owned(),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.id()
    }

    /// Its end, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Kills it, and waits for its end.
    pub fn kill(mut self) {
        // It may have ended by itself, which is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end, and waits for it.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        if self.ended().is_none() {
            processes::signal(self.pid(), "TERM");
        }
        self.wait(END)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("the end of {name}"), limit, || self.ended())
    }

    /// What it wrote to standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join(format!("{}.out", self.name))).unwrap_or_default()
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join(format!("{}.log", self.name))).unwrap_or_default()
    }
}

// A failing test prints what its programs said; that is what standard error is for here.
#[allow(clippy::print_stderr)]
impl Drop for Daemon {
    fn drop(&mut self) {
        // The test is over, and says itself what went wrong.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            eprintln!(
                "--- the end of {}'s log\n{}",
                self.name,
                log.get(from..).unwrap_or_default()
            );
        }
    }
}
