//! What `run` runs: the working tree of a git repository as it is now, or its commit.
//!
//! A snapshot is a commit in a scratch repository that borrows the objects of the user's. git is never asked to
//! work on the user's own: what it would write there (index, objects, locks, filters' files, hooks' doings) has
//! no way to get there, so a `.git` that cannot be written will do.

mod config;
mod entry;
mod files;
mod git;
mod original;
mod patience;
mod scratch;
mod status;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

pub(crate) use config::{ConfigFile, Unusable};
use files::Files;
pub(crate) use git::Full;
use original::Original;
use scratch::Scratch;
use status::Counts;

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The working tree.
    WorkingTree,
    /// The commit that is checked out.
    Head,
}

/// A commit to run, and the repository that has it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// A bare repository with the commit, for as long as the scratch folder is there.
    pub(crate) repository: PathBuf,
    /// The commit, in full.
    pub(crate) commit: String,
    /// The branch as a ref, or `HEAD` where none is checked out.
    pub(crate) reference: String,
    /// What it is, in a line for people.
    pub(crate) sentence: String,
    /// What of the working tree is not in it, or is there in another way than one may think.
    pub(crate) notes: Vec<String>,
    /// The first of the config files that it has.
    pub(crate) config: Option<ConfigFile>,
    top: PathBuf,
}

impl Snapshot {
    /// Takes a snapshot of the repository that `folder` is in; `scratch` is an empty folder that outlives it.
    pub(crate) async fn take(folder: &Path, scratch: &Path, source: Source) -> anyhow::Result<Self> {
        let original = Original::around(folder).await.map_err(|error| {
            // There is one, and the error says what is the matter with it.
            if error.is::<git::NotOurs>() {
                return error;
            }
            let folder = folder.display();
            error.context(format!(
                "`goatherd run` runs a git repository's working tree, and finds none at {folder}"
            ))
        })?;
        let store = scratch.join("source");
        let scratch =
            Scratch::new(&store, scratch, &original).context("cannot make the scratch repository")?;
        let reference = original.reference.clone().unwrap_or_else(|| "HEAD".to_owned());
        let (commit, sentence, notes, config) = match source {
            Source::Head => {
                let head = original.head.as_ref().context("there is no commit yet")?;
                let sentence = format!(
                    "running {}: {}",
                    where_it_is(&original),
                    of_files(scratch.count_in(&head.commit).await?)
                );
                let config = config::of(&store, &head.commit).await?;
                (head.commit.clone(), sentence, Vec::new(), config)
            }
            Source::WorkingTree => {
                let mut names = pipeline::CONFIG_FILES.iter().map(OsStr::new);
                let config = names.find(|name| original.top.join(name).is_file());
                // Mostly it is the commit's, and then nothing has to be read once the files are known.
                let committed = async {
                    match &original.head {
                        Some(head) => config::of(&store, &head.commit).await.ok(),
                        None => None,
                    }
                };
                let (files, committed) = tokio::join!(Files::take(&scratch, &original, config), committed);
                let files = files?;
                let commit = commit(&scratch, &original, &files).await?;
                let sentence = sentence(&original, &files.counts);
                let is_as_committed = !pipeline::CONFIG_FILES.iter().any(|name| {
                    files.changed.contains(OsStr::new(name)) || is_reached_by_link(&original.top, name)
                });
                let config = match committed {
                    Some(config) if is_as_committed => config,
                    _ => config::of(&store, &commit).await?,
                };
                (commit, sentence, files.notes, config)
            }
        };
        scratch.cut_history(&original, &commit)?;
        Ok(Self {
            repository: store,
            commit,
            reference,
            sentence,
            notes,
            config,
            top: original.top,
        })
    }

    /// The repository's name: its folder's, as far as a repository's name on a server may be.
    pub(crate) fn name(&self) -> String {
        name_of(&self.top)
    }
}

/// Whether what a file holds stands under another name too, which may have changed alone.
fn is_reached_by_link(top: &Path, name: &str) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    match (real(top), real(&top.join(name))) {
        (Some(top), Some(file)) => file != top.join(name),
        // There is none.
        _ => false,
    }
}

/// The commit of a tree; that which is checked out where the tree is no other.
async fn commit(scratch: &Scratch, original: &Original, files: &Files) -> anyhow::Result<String> {
    match (&files.tree, &original.head) {
        (None, Some(head)) => Ok(head.commit.clone()),
        (Some(tree), Some(head)) if *tree == head.tree => Ok(head.commit.clone()),
        (Some(tree), head) => {
            scratch
                .commit(tree, head.as_ref().map(|head| head.commit.as_str()))
                .await
        }
        (None, None) => bail!("there is nothing to run: no commit and no file"),
    }
}

fn sentence(original: &Original, counts: &Counts) -> String {
    let place = where_it_is(original);
    let files = of_files(counts.files);
    if counts.differences() == 0 {
        return format!("running the working tree: {files}, as in {place}");
    }
    let parts: Vec<String> = [
        (counts.changed, "changed"),
        (counts.deleted, "deleted"),
        (counts.untracked, "untracked"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    format!(
        "running the working tree: {files} ({}), on top of {place}",
        parts.join(", ")
    )
}

fn of_files(count: usize) -> String {
    format!("{count} {}", if count == 1 { "file" } else { "files" })
}

/// `HEAD 1a2b3c4d5e6f (main)`.
fn where_it_is(original: &Original) -> String {
    let branch = original
        .reference
        .as_deref()
        .and_then(|name| name.strip_prefix("refs/heads/"));
    let branch = branch.map_or_else(String::new, |name| format!(" ({name})"));
    match &original.head {
        Some(head) => format!(
            "HEAD {}{branch}",
            head.commit.chars().take(12).collect::<String>()
        ),
        None => format!("no commit yet{branch}"),
    }
}

fn name_of(top: &Path) -> String {
    let name = top.file_name().unwrap_or_default().to_string_lossy();
    let plain = |found: char| {
        if found.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&found) {
            found
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).take(100).collect();
    let name = name
        .trim_start_matches(['.', '-'])
        .trim_end_matches(".git")
        .trim_end_matches(".lock");
    if name.is_empty() {
        "repository".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_folder_gives_a_name_that_a_server_takes() {
        let named = |top: &str| name_of(Path::new(top));

        assert_eq!(named("/home/me/app"), "app");
        assert_eq!(named("/home/me/.my app.git"), "my-app");
        assert_eq!(named("/"), "repository");
    }
}
