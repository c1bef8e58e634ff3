//! Running git.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// git in a folder, with nothing of this process's environment that points it to a repository.
pub(super) fn plain(folder: &Path) -> Command {
    let mut command = asking(folder);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    command
}

/// git in a folder, in the repository that the environment names: a hook of git's runs in one.
pub(super) fn asking(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it.
pub(super) async fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.output().await.context("cannot run git; is it installed?")
}

/// What it prints; an error with its words where it fails.
pub(super) async fn text(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = output(command).await?;
    succeeded(output)
}

/// The same, with something on its standard input.
pub(super) async fn text_of(command: &mut Command, input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run git; is it installed?")?;
    let mut stdin = child.stdin.take().context("standard input is a pipe")?;
    let feed = async move {
        // It closes its end when it fails, and says why itself.
        let _closed = stdin.write_all(input).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    succeeded(output.context("cannot wait for git")?)
}

fn succeeded(output: Output) -> anyhow::Result<Vec<u8>> {
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(failed(&output))
    }
}

/// What a git says that failed.
pub(super) fn failed(output: &Output) -> anyhow::Error {
    let words = words(&output.stderr);
    if let Some(refusal) = NotOurs::told(&words) {
        return refusal.into();
    }
    if let Some(full) = Full::told(&words) {
        return full.into();
    }
    if words.is_empty() {
        // Such as SIGBUS, where a file is cut off that it has mapped.
        return anyhow::anyhow!("git ended without a word, with {}", output.status);
    }
    anyhow::anyhow!("git says: {words}")
}

/// There is no room for what git writes, and it writes only into the temporary folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no room left for the snapshot in {}; make some, or name another folder in TMPDIR; git says: {words}",
    std::env::temp_dir().display()
)]
pub(crate) struct Full {
    words: String,
}

impl Full {
    /// The C library's words for `ENOSPC` and `EDQUOT`.
    fn told(words: &str) -> Option<Self> {
        let is_told = ["No space left on device", "Disk quota exceeded"]
            .iter()
            .any(|text| words.contains(text));
        is_told.then(|| Self {
            words: words.to_owned(),
        })
    }
}

/// git does not read a repository of another user's, unless `safe.directory` names it (`git-config(1)`).
#[derive(Debug, thiserror::Error)]
#[error(
    "the git repository at {place} belongs to another user, and git does not read what another user may have \
     prepared; run this as its owner, or, where you trust what is in it, allow it: \
     git config --global --add safe.directory {place}"
)]
pub(super) struct NotOurs {
    place: String,
}

impl NotOurs {
    /// `fatal: detected dubious ownership in repository at '/srv/app'`; `unsafe repository ('/srv/app' is owned ...`
    /// before git 2.35.3.
    fn told(words: &str) -> Option<Self> {
        let (_, rest) = words
            .split_once("detected dubious ownership in repository at '")
            .or_else(|| words.split_once("unsafe repository ('"))?;
        let place = rest.split('\'').next().unwrap_or(rest).to_owned();
        Some(Self { place })
    }
}

/// What is between NULs, the last of which ends the text.
pub(super) fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == 0).filter(|piece| !piece.is_empty())
}

/// Paths as git takes them with `-z`.
pub(super) fn listed<P: AsRef<OsStr>>(paths: impl IntoIterator<Item = P>) -> Vec<u8> {
    let mut text = Vec::new();
    for path in paths {
        text.extend_from_slice(path.as_ref().as_encoded_bytes());
        text.push(0);
    }
    text
}

/// git's words for people.
pub(super) fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
