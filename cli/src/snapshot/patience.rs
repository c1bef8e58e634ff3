//! Working trees that git would wait in for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use super::entry::{self, Entry};

/// How long git may take before it is looked for what holds it up. A large tree takes longer.
const LONG: Duration = Duration::from_secs(2);
/// What git reads in every folder, whatever it is.
const READ: [&str; 3] = [".gitattributes", ".gitignore", ".gitmodules"];

/// Waits for what git does in a working tree, except where one of the files that git reads there is a named pipe:
/// it would wait for somebody to write into it. Dropping the work ends its git.
///
/// # Errors
/// When there is such a pipe, and git has not come to an end beside it.
pub(super) async fn unless_stuck<T>(top: &Path, work: impl Future<Output = T>) -> anyhow::Result<T> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return Ok(done),
        () = tokio::time::sleep(LONG) => {}
    }
    let folder = top.to_owned();
    let search = tokio::task::spawn_blocking(move || pipe_in(folder));
    tokio::select! {
        done = &mut work => return Ok(done),
        found = search => if let Ok(Some(pipe)) = found {
            bail!("git cannot read this working tree: {} is a named pipe", pipe.display());
        }
    }
    Ok(work.await)
}

/// The first pipe under a name of a file that git reads.
fn pipe_in(top: PathBuf) -> Option<PathBuf> {
    let mut folders = vec![top];
    while let Some(folder) = folders.pop() {
        let read = READ.iter().map(|name| folder.join(name));
        if let Some(pipe) = read
            .into_iter()
            .find(|path| matches!(entry::of(path), Entry::Odd(_)))
        {
            return Some(pipe);
        }
        for found in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if found.file_type().is_ok_and(|kind| kind.is_dir()) && found.file_name() != ".git" {
                folders.push(found.path());
            }
        }
    }
    None
}
