//! The user's repository: only looked at.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::git;

/// What of git's configuration decides which files there are and what is in them. Nothing else is taken over:
/// no hook, no filter, no monitor.
const SETTINGS: [&str; 9] = [
    "core.attributesfile",
    "core.autocrlf",
    "core.checkstat",
    "core.eol",
    "core.excludesfile",
    "core.filemode",
    "core.ignorecase",
    "core.sparsecheckout",
    "core.symlinks",
];

/// Asks for the repository's paths, each in a line.
const PATHS: [&str; 15] = [
    "rev-parse",
    "--path-format=absolute",
    "--show-toplevel",
    "--absolute-git-dir",
    "--git-path",
    "index",
    "--git-path",
    "objects",
    "--git-path",
    "info/exclude",
    "--git-path",
    "info/attributes",
    "--git-path",
    "shallow",
    "--show-object-format",
];
/// How many lines the answer has.
const PATH_LINES: usize = 8;

/// A commit, and its tree.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) commit: String,
    pub(super) tree: String,
}

/// Where the parts of a repository are, and what is checked out.
#[derive(Debug)]
pub(super) struct Original {
    /// The working tree's top folder.
    pub(super) top: PathBuf,
    /// The folder of what is this working tree's own.
    pub(super) git_dir: PathBuf,
    pub(super) index: PathBuf,
    pub(super) objects: PathBuf,
    pub(super) exclude: PathBuf,
    pub(super) attributes: PathBuf,
    /// Names the commits whose parents are not there.
    pub(super) shallow: PathBuf,
    /// `sha1` or `sha256`.
    pub(super) object_format: String,
    /// None before the first commit.
    pub(super) head: Option<Head>,
    /// The branch as a ref, where one is checked out.
    pub(super) reference: Option<String>,
    /// The settings that are taken over.
    pub(super) settings: Vec<(String, String)>,
    /// The filter drivers (`gitattributes(5)`) that are set up for this user.
    pub(super) filters: Vec<String>,
    /// Whether objects may be missing that a remote has (a partial clone).
    pub(super) is_partial: bool,
}

impl Original {
    /// The repository that a folder is in, or that the environment names.
    pub(super) async fn around(folder: &Path) -> anyhow::Result<Self> {
        Self::found(|| git::asking(folder)).await
    }

    /// The repository whose working tree this folder is.
    pub(super) async fn at(folder: &Path) -> anyhow::Result<Self> {
        let found = Self::found(|| git::plain(folder)).await?;
        let same = || Some(found.top.canonicalize().ok()? == folder.canonicalize().ok()?);
        if same() == Some(true) {
            Ok(found)
        } else {
            bail!("{} is no working tree of its own", folder.display())
        }
    }

    async fn found(git: impl Fn() -> Command) -> anyhow::Result<Self> {
        let (mut known, mut head, mut settings) = (git(), git(), git());
        known.args(PATHS).args(["--symbolic-full-name", "HEAD"]);
        head.args(["rev-list", "--max-count=1", "--format=%T", "HEAD", "--"]);
        settings.args(["config", "--list", "-z", "--includes"]);
        let (known, head, settings) = tokio::join!(
            git::output(&mut known),
            // It fails before the first commit.
            git::output(&mut head),
            git::text(&mut settings),
        );
        let known = known?;
        let mut lines = Vec::new();
        if known.status.success() {
            lines = lines_of(known.stdout)?;
        }
        let reference = match lines.len() > PATH_LINES {
            true => lines.pop().filter(|name| name.starts_with("refs/")),
            // `HEAD` has no commit yet, or there is no repository.
            false => {
                lines = lines_of(git::text(git().args(PATHS)).await?)?;
                // It fails where no branch is checked out.
                word(&git::output(git().args(["symbolic-ref", "--quiet", "HEAD"])).await?)
            }
        };
        let [
            top,
            git_dir,
            index,
            objects,
            exclude,
            attributes,
            shallow,
            object_format,
        ] = <[String; PATH_LINES]>::try_from(lines).map_err(|lines| {
            let lines = lines.join("\n");
            anyhow::anyhow!("git tells the repository's paths in a way that is not understood: {lines}")
        })?;
        let mut original = Self {
            top: top.into(),
            git_dir: git_dir.into(),
            index: index.into(),
            objects: objects.into(),
            exclude: exclude.into(),
            attributes: attributes.into(),
            shallow: shallow.into(),
            object_format,
            head: commit_and_tree(&head?),
            reference,
            settings: Vec::new(),
            filters: Vec::new(),
            is_partial: false,
        };
        original.read_settings(&settings?);
        Ok(original)
    }

    fn read_settings(&mut self, list: &[u8]) {
        for entry in git::pieces(list) {
            let entry = String::from_utf8_lossy(entry);
            // A key without a value stands for `true`.
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
            if SETTINGS.contains(&key) {
                self.settings.push((key.to_owned(), value.to_owned()));
            }
            if let Some((driver, "clean" | "process")) =
                key.strip_prefix("filter.").and_then(|rest| rest.rsplit_once('.'))
                && !value.is_empty()
                && !self.filters.iter().any(|known| known == driver)
            {
                self.filters.push(driver.to_owned());
            }
            let promises = key.starts_with("remote.") && key.ends_with(".promisor") && value != "false";
            self.is_partial |= promises || key == "extensions.partialclone";
        }
    }
}

fn lines_of(text: Vec<u8>) -> anyhow::Result<Vec<String>> {
    let text = String::from_utf8(text).context("a path of this repository is no text in UTF-8")?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn word(output: &std::process::Output) -> Option<String> {
    output.status.success().then(|| git::words(&output.stdout))
}

/// `commit COMMIT`, and the tree in the next line.
fn commit_and_tree(output: &std::process::Output) -> Option<Head> {
    let text = word(output)?;
    let (commit, tree) = text.split_once('\n')?;
    Some(Head {
        commit: commit.strip_prefix("commit ")?.to_owned(),
        tree: tree.to_owned(),
    })
}
