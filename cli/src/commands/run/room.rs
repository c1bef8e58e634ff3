//! A disk that gets full under a run. Nothing can be recorded then, the end of a job included, so that whoever waits
//! for that would wait for ever.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// What a run cannot be without: a few of the store's pages, with their journal.
const LEAST: usize = 128 * 1024;
/// How long there may be less. A job that fills the disk fails by that and is cleared away, and then all is well.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked.
const RHYTHM: Duration = Duration::from_secs(1);

/// The disk under a run is full.
#[derive(Debug, thiserror::Error)]
#[error(
    "the disk of {} is full, so that nothing more of this run can be recorded; what the jobs did until then is \
     lost. Make room, or name a folder elsewhere in TMPDIR or with --data",
    .folder.display()
)]
pub(crate) struct Full {
    /// The folder that was tried.
    pub(crate) folder: PathBuf,
}

/// Returns once there has been no room in a folder for long.
pub(super) async fn used_up(folder: PathBuf) -> Full {
    let mut since: Option<Instant> = None;
    loop {
        let tried = folder.clone();
        let is_full = tokio::task::spawn_blocking(move || is_full(&tried)).await;
        // A broken thread says nothing about the disk.
        if is_full.unwrap_or(false) {
            if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Full { folder };
            }
        } else {
            since = None;
        }
        tokio::time::sleep(RHYTHM).await;
    }
}

/// Tries it: what is free, what is kept for root and what a quota leaves is told in many ways, and here in one.
fn is_full(folder: &Path) -> bool {
    let written = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(&[0; LEAST]));
    written.is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    })
}
