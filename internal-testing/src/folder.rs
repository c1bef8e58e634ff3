//! A temporary folder that processes write to which a test kills.

use std::fs;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use crate::installation::PATIENCE;

/// Removed once whatever was killed has let go of it: a git of the server may write for a moment.
#[derive(Debug)]
pub(crate) struct Folder {
    temporary: TempDir,
    is_kept: bool,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("goatherd-test-").tempdir();
        Self {
            temporary: temporary.expect("a folder can be made"),
            is_kept: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Leaves it where it is.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
        self.temporary.disable_cleanup(true);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        let path = self.path();
        while !self.is_kept && fs::remove_dir_all(path).is_err() && path.exists() && Instant::now() < until {
            std::thread::yield_now();
        }
    }
}
