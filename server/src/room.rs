//! Whether there is room on the disk. Below a reserve the server takes no new work, so that what runs can finish:
//! its output, artifacts and ends still have room then.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tokio_util::sync::CancellationToken;

/// How long one look is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How often it is looked when nobody asks, so that the log says it in time.
const RHYTHM: Duration = Duration::from_secs(10);
/// The reserve where none is configured: this much, or a twentieth of a smaller disk.
const RESERVE: u64 = 512 * 1024 * 1024;
const SHARE: u64 = 20;
/// A disk that was full has room again once it has so much, and nothing found none for so long.
const ROOMY: u64 = 8 * MEBIBYTE;
const SETTLED: Duration = Duration::from_secs(5);
const MEBIBYTE: u64 = 1024 * 1024;

/// The disk of the data folder.
#[derive(Debug)]
pub(crate) struct Room {
    folder: PathBuf,
    least: Option<u64>,
    seen: Mutex<Seen>,
}

/// The last look.
#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    low: Option<Low>,
    /// When something last found no room, until there is some again.
    full: Option<Instant>,
}

/// There is less than there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk of the data folder has {} MiB free, less than {} MiB: new work is refused until there is more",
    .free / MEBIBYTE,
    .least / MEBIBYTE
)]
pub(crate) struct Low {
    free: u64,
    least: u64,
}

impl Room {
    /// Looks at the disk of a folder; `least` is the reserve in bytes, where one is configured.
    pub(crate) fn of(folder: impl Into<PathBuf>, least: Option<u64>) -> Self {
        Self {
            folder: folder.into(),
            least,
            seen: Mutex::default(),
        }
    }

    /// Whether there is too little. Says it in the log when that changes.
    pub(crate) fn low(&self) -> Option<Low> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_none_or(|at| at.elapsed() >= FRESH) {
            seen.at = Some(Instant::now());
            let free = self.look();
            let low = free.and_then(|(free, least)| (free < least).then_some(Low { free, least }));
            if seen.full.is_some_and(|full| full.elapsed() >= SETTLED)
                && free.is_none_or(|(free, _)| free >= ROOMY)
            {
                seen.full = None;
                tracing::info!(folder = %self.folder.display(), "the disk is full no more: what is sent is stored again");
            }
            match (seen.low, low) {
                (None, Some(low)) => tracing::error!(folder = %self.folder.display(), "{low}"),
                (Some(_), None) => {
                    tracing::info!(folder = %self.folder.display(), "there is room on the disk again: new work is taken");
                }
                _ => {}
            }
            seen.low = low;
        }
        seen.low
    }

    /// Something could not be stored for want of room. It is said in the log once, until there is room again.
    pub(crate) fn full(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.full.replace(Instant::now()).is_none() {
            tracing::error!(
                folder = %self.folder.display(),
                "the disk of the data folder is full: what jobs send is refused with 507 and waits for room with them"
            );
        }
    }

    /// Whether so many bytes would fit, as far as can be told.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.look().is_none_or(|(free, _)| bytes <= free)
    }

    /// How much is free and how much should be, in bytes; none where that cannot be told.
    fn look(&self) -> Option<(u64, u64)> {
        let disk = match statvfs(&self.folder) {
            Ok(disk) => disk,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "the disk's free space cannot be told");
                return None;
            }
        };
        let unit = disk.fragment_size();
        let free = disk.blocks_available().saturating_mul(unit);
        let least = self
            .least
            .unwrap_or_else(|| RESERVE.min(disk.blocks().saturating_mul(unit) / SHARE));
        Some((free, least))
    }
}

/// Looks until the server stops.
pub(crate) async fn watch(room: Arc<Room>, stopping: CancellationToken) {
    loop {
        room.low();
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(RHYTHM) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_that_no_disk_has_is_told_in_words() {
        let folder = tempfile::tempdir().unwrap();

        let low = Room::of(folder.path(), Some(u64::MAX)).low().unwrap();

        let words = low.to_string();
        assert!(words.contains("MiB free") && words.contains("refused"), "{words}");
        assert_eq!(Room::of(folder.path(), Some(0)).low(), None);
        assert_eq!(Room::of(folder.path().join("gone"), None).low(), None);
    }
}
