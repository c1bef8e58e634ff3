//! `upload`: a file, or a folder's files, to the server's artifacts.

mod files;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Cause;
use client::ClientError;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{Current, Failure};
use crate::decide::Ending;
use crate::retry::{Backoff, FULL_SERVER};
use files::{Found, Request, find, open};

/// How often a file may change while it is being sent.
const CHANGES: u32 = 5;
/// How many failed files are told one by one.
const MOST_TOLD: usize = 20;
/// The least that a connection must carry, so that a dead one is noticed.
const BYTES_PER_SECOND: u64 = 64 * 1024;

/// Uploads.
pub(super) async fn upload(
    current: Current<'_>,
    source: &str,
    destination: Option<&str>,
) -> Result<(), Failure> {
    let context = current.context;
    let request = Request {
        source: context.path(source),
        folder: context.folder.clone(),
        destination: destination.map(str::to_owned),
    };
    let found = blocking(move || find(&request)).await;
    let found = match found.and_then(|found| found.map_err(io::Error::other)) {
        Ok(found) => found,
        Err(sentence) => return Err(current.fail(1, &sentence.to_string()).await),
    };
    for line in &found.left_out {
        current.say(line).await;
    }
    if found.files.is_empty() && found.failed.is_empty() {
        current
            .say(&format!("there is nothing to upload in `{source}`"))
            .await;
    }
    let mut failed = found.failed;
    for file in found.files {
        match send(current, file, &found.boundary).await {
            Ok(()) => {}
            Err(NotSent::File(sentence)) => failed.push(sentence),
            Err(NotSent::Step(failure)) => return Err(failure),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(current.fail(1, &told(&failed)).await)
}

/// What could not be uploaded, a line each; of very many only the first.
fn told(failed: &[String]) -> String {
    let mut lines: Vec<&str> = failed.iter().take(MOST_TOLD).map(String::as_str).collect();
    let more = failed.len().saturating_sub(MOST_TOLD);
    let rest = format!("and {more} more could not be uploaded");
    if more > 0 {
        lines.push(&rest);
    }
    lines.join("\n")
}

/// Why a file was not sent.
#[derive(Debug)]
enum NotSent {
    /// Because of the file itself, in a sentence: others may still be sent.
    File(String),
    /// The step is over.
    Step(Failure),
}

impl From<Failure> for NotSent {
    fn from(failure: Failure) -> Self {
        Self::Step(failure)
    }
}

/// Sends one file, until the server has it.
async fn send(current: Current<'_>, found: Found, boundary: &Path) -> Result<(), NotSent> {
    let Found { path, name } = found;
    let mut backoff = Backoff::new(Duration::from_secs(5));
    let mut changes = 0;
    let mut full: Option<Instant> = None;
    let mut known_sum: Option<String> = None;
    loop {
        let content = content(&path, boundary)
            .await
            .map_err(|error| NotSent::File(format!("`{}` cannot be uploaded: {error}", path.display())))?;
        let changed = known_sum.as_ref().is_some_and(|known| *known != content.sum);
        changes += u32::from(changed);
        known_sum = Some(content.sum.clone());
        let error = match try_once(current, &name, &content).await? {
            Ok(()) => {
                let line = format!("uploaded `{name}` ({} bytes)", content.size);
                current.say(&line).await;
                return Ok(());
            }
            Err(error) => error,
        };
        if error.status() == Some(507) && full.is_none() {
            full = Some(Instant::now());
            let minutes = FULL_SERVER.as_secs() / 60;
            let line =
                format!("the server's disk is full: `{name}` waits for room, for up to {minutes} minutes");
            current.say(&line).await;
        }
        match judge(&error, changed, changes, full.map(|since| since.elapsed())) {
            Next::Again => {}
            Next::Full => {
                let r#where = "the server".to_owned();
                return Err(Failure::infrastructure(Cause::DiskFull { r#where }).into());
            }
            Next::Changing => {
                let sentence = format!("`{}` keeps changing while it is uploaded", path.display());
                return Err(NotSent::File(sentence));
            }
            Next::Refused => {
                let sentence = format!("`{name}` was not uploaded: {}", error.chain());
                return Err(match error.is_gone() {
                    true => current.fail(1, &sentence).await.into(),
                    false => NotSent::File(sentence),
                });
            }
        }
        tracing::debug!(error = %error.chain(), "an artifact is sent again");
        tokio::select! {
            () = backoff.pause() => {}
            _ = current.context.supervisor.control.stopped() => return Err(STOPPED.into()),
        }
    }
}

const STOPPED: Failure = Failure::Stopped {
    ending: Ending {
        exit_code: 1,
        signal: None,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Full,
    Changing,
    Refused,
}

/// What to do after an error. A refusal of a file that changed meanwhile may be about its checksum. `full` is how
/// long it has been waited for room on the server.
fn judge(error: &ClientError, changed: bool, changes: u32, full: Option<Duration>) -> Next {
    if full.is_some_and(|waited| waited >= FULL_SERVER) {
        Next::Full
    } else if changes >= CHANGES {
        Next::Changing
    } else if error.may_pass() || changed {
        Next::Again
    } else {
        Next::Refused
    }
}

async fn try_once(
    current: Current<'_>,
    name: &str,
    content: &Content,
) -> Result<Result<(), ClientError>, Failure> {
    let context = current.context;
    let enough = Duration::from_secs(60 + content.size / BYTES_PER_SECOND);
    // By its descriptor: what is sent is the file that was looked at, whatever its name leads to by now.
    let path = PathBuf::from(format!("/proc/self/fd/{}", content.file.as_raw_fd()));
    let sending = context
        .client
        .upload_artifact(name, &path, &content.sum, enough.min(context.left()));
    tokio::select! {
        result = sending => Ok(result),
        _ = context.supervisor.control.stopped() => Err(STOPPED),
    }
}

/// A file that was read once.
#[derive(Debug)]
struct Content {
    file: File,
    size: u64,
    sum: String,
}

async fn content(path: &Path, boundary: &Path) -> io::Result<Content> {
    let (path, boundary) = (path.to_owned(), boundary.to_owned());
    blocking(move || {
        let file = open(&path, &boundary)?;
        let mut sum = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = (&file).read(&mut buffer)?;
            if count == 0 {
                break;
            }
            sum.update(buffer.get(..count).unwrap_or_default());
            size += u64::try_from(count).unwrap_or(0);
        }
        Ok(Content {
            file,
            size,
            sum: hex::encode(sum.finalize()),
        })
    })
    .await?
}

/// Disk work, on a thread of its own. It starts no process.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_failed_files_the_first_and_the_number_are_told() {
        let failed: Vec<String> = (0..30).map(|file| format!("file {file}")).collect();

        let told = told(&failed);

        assert!(told.starts_with("file 0\nfile 1\n"), "{told}");
        assert!(
            told.ends_with("file 19\nand 10 more could not be uploaded"),
            "{told}"
        );
    }
}
