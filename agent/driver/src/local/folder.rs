//! A place's folder: what lies where, and how it is read and written.
//!
//! ```text
//! ATTEMPT/              0700, the driver's user
//!   lock                held by whoever makes, supervises or removes the place
//!   labels.json         whose it is; the last to go
//!   spec.json           what the sandbox is told
//!   state.json          which processes run in it; with GOAT in it, something of the task may have run
//!   exit.json           how GOAT ended
//!   goat.log            the sandbox's and GOAT's words
//!   cgroup              the path of the place's control group, where it has one
//!   bin/                read-only for the task, at /opt/circleci/bin, where it does not see the installed binaries there
//!   mount/root/         where the sandbox builds the task's root
//!   goat/               the task's, at /opt/circleci/goat: GOAT's configuration and termination message
//!   home/ tmp/          the task's
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use api::goat::TerminationMessage;
use api::{AttemptRef, Millis};
use nix::libc;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::isolation::Kind;
use super::lock::Lock;
use super::process::Process;
use super::user::Ids;
use crate::{Exit, Labels};

/// Where a task in namespaces finds what the driver put there.
pub(super) mod inside {
    /// The binaries.
    pub(in crate::local) const BIN: &str = "/opt/circleci/bin";
    /// Where GOAT reads and leaves its files.
    pub(in crate::local) const GOAT: &str = "/opt/circleci/goat";
    /// The task's home and working directory.
    pub(in crate::local) const HOME: &str = "/home/goatherd";
    /// The task's temporary folder.
    pub(in crate::local) const TMP: &str = "/tmp";
}

/// Where a task finds what the driver put there.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The binaries.
    pub(super) bin: PathBuf,
    /// The task's home and working directory.
    pub(super) home: PathBuf,
    /// The task's temporary folder.
    pub(super) tmp: PathBuf,
    goat: PathBuf,
}

impl Layout {
    /// GOAT's configuration.
    pub(super) fn configuration(&self) -> PathBuf {
        self.goat.join("config.json")
    }

    /// GOAT's termination message.
    pub(super) fn termination(&self) -> PathBuf {
        self.goat.join("termination.json")
    }
}

/// How much of GOAT's log goes into an [`Exit`].
const LOG_TAIL: u64 = 16 * 1024;
/// The longest termination message that is read (contract G6).
const LONGEST_TERMINATION: u64 = 4096;

/// What the sandbox is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The place's name, and its host name.
    pub(super) name: String,
    /// What the place is made of.
    #[serde(default)]
    pub(super) kind: Kind,
    /// Who the task is, as the host sees it.
    pub(super) ids: Ids,
    /// The name of the task's user, where it is not the usual one.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// The value of a variable by which the task's processes are known, where nothing else holds them together.
    #[serde(default)]
    pub(super) mark: Option<String>,
    /// The folder of the binaries that the task sees; none where the place has its own.
    #[serde(default)]
    pub(super) binaries: Option<PathBuf>,
    /// Further paths of the host that the task sees.
    pub(super) expose: Vec<PathBuf>,
    /// Variables over the usual ones.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// GOAT's arguments.
    pub(super) arguments: Vec<String>,
    /// How long the place stays after GOAT's end, where no lifeline decides it.
    pub(super) linger: Millis,
}

/// Which processes run in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The sandbox.
    pub(super) sandbox: Process,
    /// GOAT, from just before it executes.
    pub(super) goat: Option<Process>,
}

/// How GOAT ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Its exit code, where it exited.
    pub(super) code: Option<i32>,
    /// The signal that ended it, where one did.
    pub(super) signal: Option<i32>,
}

/// A place's folder. It may not exist.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(root: &Path, attempt: &AttemptRef) -> Self {
        Self(root.join(attempt.to_string()))
    }

    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn layout(&self, kind: Kind) -> Layout {
        match kind {
            Kind::Namespaces => Layout {
                bin: inside::BIN.into(),
                home: inside::HOME.into(),
                tmp: inside::TMP.into(),
                goat: inside::GOAT.into(),
            },
            Kind::Plain => Layout {
                bin: self.join("bin"),
                home: self.join("home"),
                tmp: self.join("tmp"),
                goat: self.join("goat"),
            },
        }
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.join("lock")
    }

    /// The file that names the place's control group.
    pub(super) fn cgroup(&self) -> PathBuf {
        self.join("cgroup")
    }

    pub(super) fn exists(&self) -> io::Result<bool> {
        self.0.try_exists()
    }

    pub(super) fn is_held(&self) -> io::Result<bool> {
        Lock::is_held(&self.lock())
    }

    pub(super) fn labels(&self) -> io::Result<Option<Labels>> {
        self.read("labels.json")
    }

    pub(super) fn write_labels(&self, labels: &Labels) -> io::Result<()> {
        self.write("labels.json", labels)
    }

    pub(super) fn spec(&self) -> io::Result<Option<Spec>> {
        self.read("spec.json")
    }

    pub(super) fn write_spec(&self, spec: &Spec) -> io::Result<()> {
        self.write("spec.json", spec)
    }

    pub(super) fn state(&self) -> io::Result<Option<State>> {
        self.read("state.json")
    }

    pub(super) fn write_state(&self, state: &State) -> io::Result<()> {
        self.write("state.json", state)
    }

    pub(super) fn ended(&self) -> io::Result<Option<Ended>> {
        self.read("exit.json")
    }

    pub(super) fn write_ended(&self, ended: &Ended) -> io::Result<()> {
        self.write("exit.json", ended)
    }

    /// Whether something of the task may have run.
    pub(super) fn has_started(&self) -> io::Result<bool> {
        Ok(self.state()?.is_some_and(|state| state.goat.is_some()))
    }

    /// The end of GOAT, with all that it left; none while there is no exit file.
    pub(super) fn exit(&self) -> io::Result<Option<Exit>> {
        let Some(ended) = self.ended()? else {
            return Ok(None);
        };
        Ok(Some(Exit {
            code: ended.code,
            signal: ended.signal,
            termination: self.termination(),
            log_tail: self.log_tail().unwrap_or_default(),
        }))
    }

    pub(super) fn open_log(&self) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.join("goat.log"))
    }

    fn log_tail(&self) -> io::Result<String> {
        let mut log = File::open(self.join("goat.log"))?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut tail = Vec::new();
        log.take(LOG_TAIL).read_to_end(&mut tail)?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    }

    /// The file is in the task's hands: it may be anything, a link to a file of the host or a pipe included.
    fn termination(&self) -> Option<TerminationMessage> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.join("goat/termination.json"))
            .ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = Vec::new();
        file.take(LONGEST_TERMINATION).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match fs::read(self.join(name)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whoever reads it sees all of it or nothing.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let unfinished = self.join(&format!(".{name}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(&unfinished, self.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_place() -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().join("t.1"));
        fs::create_dir_all(folder.join("goat")).unwrap();
        folder
            .write_ended(&Ended {
                code: Some(0),
                signal: None,
            })
            .unwrap();
        (root, folder)
    }

    #[test]
    fn a_termination_message_that_is_a_link_or_a_pipe_is_not_read() {
        let (_root, folder) = ended_place();
        let message = folder.join("goat/termination.json");
        let real = folder.join("real.json");
        fs::write(&real, r#"{"kind": "completed", "message": "of the host"}"#).unwrap();

        std::os::unix::fs::symlink(&real, &message).unwrap();
        assert_eq!(folder.exit().unwrap().unwrap().termination, None);

        fs::remove_file(&message).unwrap();
        nix::unistd::mkfifo(&message, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(folder.exit().unwrap().unwrap().termination, None);

        fs::remove_file(&message).unwrap();
        fs::rename(&real, &message).unwrap();
        let termination = folder.exit().unwrap().unwrap().termination.unwrap();
        assert_eq!(termination.message, "of the host");
    }

    #[test]
    fn only_the_end_of_a_long_log_is_told() {
        let (_root, folder) = ended_place();
        fs::write(folder.join("goat.log"), "x".repeat(100_000) + "the end").unwrap();

        let tail = folder.exit().unwrap().unwrap().log_tail;

        assert_eq!(u64::try_from(tail.len()).unwrap(), LOG_TAIL);
        assert!(tail.ends_with("xthe end"));
    }
}
