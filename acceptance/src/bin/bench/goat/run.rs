//! One run of an init, and what both ends noted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use internal_testing::processes::Pid;
use internal_testing::wait;
use tempfile::TempDir;

use super::Field;
use super::contestant::Contestant;

/// Longer than anything here takes, a dying orchestrator that waits included.
const LONGEST: Duration = Duration::from_secs(60);

/// A run under way; it is killed with all that it started when it is dropped.
pub(super) struct Run {
    folder: TempDir,
    child: Child,
}

/// What was noted: times in nanoseconds, and counts.
#[derive(Debug)]
pub(super) struct Notes(BTreeMap<String, f64>);

impl Run {
    /// Starts `contestant` with a child that does `what`.
    pub(super) fn start(field: &Field, contestant: &Contestant, what: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(field.folder.path())?;
        let notes = folder.path().join("notes").display().to_string();
        let probe = field.probe.display().to_string();
        let (words, variables) = contestant.command(&[&[probe.as_str(), "child", &notes], what].concat());
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(&field.probe)
            .args(["start", &notes])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { folder, child })
    }

    /// Runs it to its end.
    pub(super) fn whole(field: &Field, contestant: &Contestant, what: &[&str]) -> anyhow::Result<Notes> {
        Self::start(field, contestant, what)?.end()
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> anyhow::Result<Notes> {
        wait::until("the end of an init", LONGEST, || {
            self.child.try_wait().ok().flatten()
        });
        self.notes()
    }

    pub(super) fn notes(&self) -> anyhow::Result<Notes> {
        Notes::read(&self.folder.path().join("notes"))
    }

    /// Waits until something was noted.
    pub(super) fn wait_for(&self, what: &str) -> anyhow::Result<Notes> {
        wait::until(what, LONGEST, || {
            self.notes().ok().filter(|notes| notes.get(what).is_ok())
        });
        self.notes()
    }

    /// Lets a child go on that waits for it.
    pub(super) fn go(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.folder.path().join("notes.go"), "")?)
    }

    /// What it wrote.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Notes {
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)?;
        let notes = text.lines().filter_map(|line| {
            let (what, number) = line.split_once(' ')?;
            Some((what.to_owned(), number.parse().ok()?))
        });
        Ok(Self(notes.collect()))
    }

    pub(super) fn get(&self, what: &str) -> anyhow::Result<f64> {
        self.0
            .get(what)
            .copied()
            .with_context(|| format!("{what} was not noted: {:?}", self.0))
    }

    /// Milliseconds from one to the other.
    pub(super) fn between(&self, from: &str, to: &str) -> anyhow::Result<f64> {
        Ok((self.get(to)? - self.get(from)?) / 1e6)
    }

    /// The init, as this program sees it.
    pub(super) fn pid(&self) -> anyhow::Result<Pid> {
        Ok(format!("{}", self.get("pid")?).parse()?)
    }
}
