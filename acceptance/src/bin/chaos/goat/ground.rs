//! Where one task after the other runs: a folder, and a small disk of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::plan::Plan;

/// Large enough for a long token and a log, small enough to be filled in no time.
const SIZE: &str = "1m";

/// The place of one worker; the disk is unmounted when it is dropped.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) root: PathBuf,
    pub(super) disk: PathBuf,
}

impl Ground {
    /// `root` is there.
    pub(super) fn new(root: &Path, worker: usize) -> anyhow::Result<Self> {
        let disk = root.join(format!("disk-{worker}"));
        fs::create_dir(&disk)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={SIZE},mode=700"))
            .arg("goatherd-chaos")
            .arg(&disk)
            .status()
            .context("mount cannot be run")?;
        anyhow::ensure!(
            mounted.success(),
            "the small disk cannot be mounted: this needs root"
        );
        Ok(Self {
            root: root.to_owned(),
            disk,
        })
    }

    /// What marks the processes of a task.
    pub(super) fn mark(&self, plan: &Plan) -> String {
        format!("{}-{}", self.root.display(), plan.number)
    }

    pub(super) fn clear_disk(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.disk)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// The names on the disk.
    pub(super) fn on_disk(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.disk)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Lazily: a task whose promise was broken may still hold a file.
        let _ = Command::new("umount").arg("--lazy").arg(&self.disk).status();
    }
}
