//! The config file of a commit.

use std::path::Path;

use anyhow::Context as _;
use server::followed::Followed;

use super::git;

/// The largest config file that is read.
const LARGEST: u64 = 1024 * 1024;

/// The config file of a snapshot.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    /// Its path in the repository.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// A config is there, and cannot be read as a file.
#[derive(Debug, thiserror::Error)]
#[error("{file} {why}")]
pub(crate) struct Unusable {
    /// Its path in the repository.
    pub(crate) file: &'static str,
    /// Why, as the end of a sentence.
    pub(crate) why: String,
}

/// The first of the config files that a commit has. Links are followed to files of the same commit.
///
/// # Errors
/// [`Unusable`], or git's own.
pub(super) async fn of(store: &Path, commit: &str) -> anyhow::Result<Option<ConfigFile>> {
    let mut command = git::plain(store);
    command
        .arg("--git-dir")
        .arg(store)
        .args(["cat-file", "--batch", "--follow-symlinks"]);
    let names = pipeline::CONFIG_FILES.iter();
    let asked: String = names.map(|name| format!("{commit}:{name}\n")).collect();
    let told = git::text_of(&mut command, asked.as_bytes()).await?;
    let mut answers = told.as_slice();
    for file in pipeline::CONFIG_FILES {
        let unusable = |why: String| Unusable { file, why };
        let not_told = || format!("git does not tell what {file} is");
        let (found, rest) = Followed::next(answers).with_context(not_told)?;
        answers = rest;
        match found {
            Followed::Missing => {}
            Followed::Unusable(why) => return Err(unusable(why).into()),
            Followed::File { size, .. } if size > LARGEST => {
                let why = format!("has {size} bytes, and at most {LARGEST} are read");
                return Err(unusable(why).into());
            }
            Followed::File { size, .. } => {
                let bytes = usize::try_from(size).ok().and_then(|size| rest.get(..size));
                let bytes = bytes.with_context(not_told)?.to_vec();
                return Ok(Some(ConfigFile { name: file, bytes }));
            }
        }
    }
    Ok(None)
}
