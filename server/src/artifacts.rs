//! Artifacts' bytes on disk. The store knows their names; here they lie under their checksums, as
//! `artifacts/TASK/ATTEMPT/SHA256`, so that no name from outside ever becomes a path.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{AttemptRef, TaskId};
use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use store::Kept;
use tokio::io::AsyncWriteExt;

/// The longest that a sender may send nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// How much of a body that is not taken is still read.
const DISCARDED: usize = 64 * 1024 * 1024;

/// What is being received, beside the jobs' folders.
const INCOMING: &str = "incoming";

/// The folder of all artifacts.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    root: PathBuf,
}

/// Why an artifact was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// It is not what its sender said.
    #[error("the checksum is {found}, not {expected}: it was not received as it was sent")]
    Checksum {
        /// What came.
        found: String,
        /// What was announced.
        expected: String,
    },
    /// It is larger than the operator allows.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Its sender went away or stopped sending.
    #[error("it was not sent whole")]
    Broken,
    /// The disk failed, or is full.
    #[error("it could not be written")]
    Disk(#[from] io::Error),
}

impl Artifacts {
    /// Opens the folder, and removes what was being received when the last server ended.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let root = data.join("artifacts");
        let incoming = root.join(INCOMING);
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&incoming)?;
        Ok(Self { root })
    }

    /// Receives an artifact of an attempt; answers its size once it is on disk for good.
    pub(crate) async fn receive(
        &self,
        attempt: &AttemptRef,
        body: Body,
        expected: &str,
        limit: u64,
    ) -> Result<u64, ArtifactError> {
        let incoming = self.root.join(INCOMING).join(random_name()?);
        let received = write(&incoming, body.into_data_stream(), limit).await;
        let kept = match received {
            Ok((size, found)) if found == expected => {
                let place = self.place(attempt, expected);
                let from = incoming.clone();
                on_a_thread(move || keep(&from, &place))
                    .await
                    .map(|()| size)
                    .map_err(Into::into)
            }
            Ok((_, found)) => Err(ArtifactError::Checksum {
                found,
                expected: expected.to_owned(),
            }),
            Err(error) => Err(error),
        };
        if kept.is_err() {
            // Whatever is left here is also removed at the next start.
            let _gone = tokio::fs::remove_file(&incoming).await;
        }
        kept
    }

    /// Opens an artifact of an attempt.
    pub(crate) async fn read(&self, attempt: &AttemptRef, sha256: &str) -> io::Result<tokio::fs::File> {
        tokio::fs::File::open(self.place(attempt, sha256)).await
    }

    /// The jobs that have files here.
    pub(crate) async fn tasks(&self) -> Vec<TaskId> {
        let root = self.root.clone();
        let names = on_a_thread(move || names(&root)).await.unwrap_or_default();
        names
            .into_iter()
            .filter(|name| name != INCOMING)
            .filter_map(|name| TaskId::new(name).ok())
            .collect()
    }

    /// Removes the files of a job, but for those of these attempts and checksums. For jobs of which no more can
    /// come.
    pub(crate) async fn keep_only(&self, task: &TaskId, kept: Kept) -> io::Result<()> {
        let folder = self.root.join(task.as_str());
        on_a_thread(move || {
            for attempt in names(&folder)? {
                let inside = folder.join(&attempt);
                for sha256 in names(&inside)? {
                    let named = attempt
                        .parse()
                        .is_ok_and(|number| kept.contains(&(number, sha256.clone())));
                    if !named {
                        fs::remove_file(inside.join(sha256))?;
                    }
                }
                // It fails for a folder that still holds something.
                let _kept = fs::remove_dir(&inside);
            }
            let _kept = fs::remove_dir(&folder);
            Ok(())
        })
        .await
    }

    fn place(&self, attempt: &AttemptRef, sha256: &str) -> PathBuf {
        self.root
            .join(attempt.task.as_str())
            .join(attempt.number.to_string())
            .join(sha256)
    }
}

/// Whether an artifact's name is a relative path that stays where it is put, for whoever downloads it.
pub(crate) fn is_safe_name(name: &str) -> bool {
    name.len() <= 1024
        && !name.chars().any(|c| c.is_control() || c == '\\')
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a text is a SHA-256 in lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads what is left of a body that is not taken: a sender that only writes would never see the answer on a connection
/// that is closed under it.
pub(crate) async fn discard(mut stream: BodyDataStream) {
    let mut left = DISCARDED;
    while left > 0
        && let Ok(Some(Ok(bytes))) = tokio::time::timeout(SILENCE, stream.next()).await
    {
        left = left.saturating_sub(bytes.len());
    }
}

async fn write(path: &Path, mut stream: BodyDataStream, limit: u64) -> Result<(u64, String), ArtifactError> {
    let written = write_all(path, &mut stream, limit).await;
    if matches!(written, Err(ArtifactError::Disk(_))) {
        // What was written makes room for those that wait, before this one's sender is heard out.
        let _gone = tokio::fs::remove_file(path).await;
        discard(stream).await;
    }
    written
}

async fn write_all(
    path: &Path,
    stream: &mut BodyDataStream,
    limit: u64,
) -> Result<(u64, String), ArtifactError> {
    let mut file = tokio::fs::File::create_new(path).await?;
    let mut hash = Sha256::new();
    let mut size: u64 = 0;
    loop {
        let Ok(next) = tokio::time::timeout(SILENCE, stream.next()).await else {
            return Err(ArtifactError::Broken);
        };
        let Some(bytes) = next.transpose().map_err(|_| ArtifactError::Broken)? else {
            break;
        };
        size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if size > limit {
            return Err(ArtifactError::TooLarge { limit });
        }
        hash.update(&bytes);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok((size, hex::encode(hash.finalize())))
}

/// Moves a synced file to its place and syncs the folders above it, so that a crash keeps its name too.
fn keep(from: &Path, place: &Path) -> io::Result<()> {
    let attempt = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(attempt)?;
    fs::rename(from, place)?;
    // The attempt's, the task's and the artifacts' own folder: each may have got a new entry.
    for folder in attempt.ancestors().take(3) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// What a folder holds; nothing where there is none.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect()
}

async fn on_a_thread<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.map_err(io::Error::other)?
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    #[test]
    fn only_names_that_stay_where_they_are_put_are_safe() {
        for name in ["a", "a/b.txt", "artifacts/my app", "ä", "...", ".hidden"] {
            assert!(is_safe_name(name), "{name}");
        }
        for name in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a\0b",
            "a\nb",
            "a\\b",
            &"x".repeat(1025),
        ] {
            assert!(!is_safe_name(name), "{name}");
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_what_was_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let attempt: AttemptRef = "t.1".parse().unwrap();

        let wrong = artifacts
            .receive(&attempt, Body::from("app"), &sha256(b"other"), 100)
            .await;
        let large = artifacts
            .receive(&attempt, Body::from("app"), &sha256(b"app"), 2)
            .await;

        assert!(matches!(wrong, Err(ArtifactError::Checksum { .. })), "{wrong:?}");
        assert!(
            matches!(large, Err(ArtifactError::TooLarge { limit: 2 })),
            "{large:?}"
        );
        let incoming = fs::read_dir(folder.path().join("artifacts/incoming")).unwrap();
        assert_eq!(incoming.count(), 0);
        assert!(artifacts.read(&attempt, &sha256(b"app")).await.is_err());
    }

    #[tokio::test]
    async fn what_was_taken_is_read_again_and_may_be_sent_twice() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let attempt: AttemptRef = "t.1".parse().unwrap();
        let sum = sha256(b"app");

        let first = artifacts
            .receive(&attempt, Body::from("app"), &sum, 100)
            .await
            .unwrap();
        let second = artifacts
            .receive(&attempt, Body::from("app"), &sum, 100)
            .await
            .unwrap();

        assert_eq!((first, second), (3, 3));
        let path = artifacts.place(&attempt, &sum);
        assert_eq!(fs::read(path).unwrap(), b"app");
    }

    #[test]
    fn a_new_start_removes_what_was_being_received() {
        let folder = tempfile::tempdir().unwrap();
        Artifacts::open(folder.path()).unwrap();
        let half = folder.path().join("artifacts/incoming/half");
        fs::write(&half, "ha").unwrap();

        Artifacts::open(folder.path()).unwrap();

        assert!(!half.exists());
    }
}
