//! Mirrors of the repositories that the server knows, under `git/NAME.git` in the data folder.
//!
//! A mirror is fetched when a commit is wanted that is not there, only from the source that the operator
//! named and only by that source's protocol. The config is read from it, and task agents may clone it.

mod command;
mod login;
mod words;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use command::{Git, Group};
pub(crate) use words::is_commit;

use crate::config::{GitSettings, Repository};

/// The largest config file that is read.
const LARGEST_CONFIG: u64 = 1024 * 1024;

/// All mirrors.
#[derive(Debug)]
pub(crate) struct Mirrors {
    git: Git,
    root: PathBuf,
    /// One fetch at a time for each mirror; clones and reads need no lock.
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why git did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GitError {
    /// It was refused: trying again cannot help.
    #[error("{0}")]
    Refused(String),
    /// It failed: trying again may help.
    #[error("{0}")]
    Failed(String),
}

/// A config file as it is in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigFile {
    /// Its bytes.
    Found {
        /// Its name.
        name: &'static str,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// It is there, but cannot be read as a file.
    Unusable {
        /// Its name.
        name: &'static str,
        /// Why.
        why: String,
    },
    /// None of the names is there.
    Missing,
}

impl Mirrors {
    /// Opens the folder of the mirrors. The caller holds the data folder, so a lock in a mirror is one that
    /// a killed git left behind.
    pub(crate) fn open(data: &Path, settings: &GitSettings) -> io::Result<Self> {
        let root = std::path::absolute(data)?.join("git");
        fs::create_dir_all(&root)?;
        remove_locks(&root)?;
        let git = Git::configure(&root, settings)?;
        Ok(Self {
            git,
            root,
            fetching: Mutex::default(),
        })
    }

    /// The git that works on the mirrors.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// The folder that a repository is read and served from.
    pub(crate) fn mirror(&self, repository: &Repository) -> PathBuf {
        match repository.in_place() {
            Some((folder, _)) => folder.to_owned(),
            None => self.root.join(format!("{}.git", repository.name())),
        }
    }

    /// Sees to it that a commit is in the mirror, and stays there.
    pub(crate) async fn fetch(&self, repository: &Repository, commit: &str) -> Result<(), GitError> {
        if let Some((_, known)) = repository.in_place() {
            return match known.commit == commit {
                true => Ok(()),
                false => Err(GitError::Refused(format!("there is no commit {commit}"))),
            };
        }
        let lock = {
            let mut all = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(repository.name().to_owned()).or_default())
        };
        let _one_at_a_time = lock.lock().await;
        let mirror = self.mirror(repository);
        if !mirror.join("HEAD").exists() {
            self.make(&mirror).await?;
        }
        if !self.has(&mirror, commit).await? {
            self.fetch_branches_and_tags(repository, &mirror).await?;
        }
        self.refuse_other_objects(&mirror, commit).await?;
        if !self.has(&mirror, commit).await? {
            self.fetch_commit(repository, &mirror, commit).await?;
        }
        self.pin(&mirror, commit).await
    }

    /// Refuses what is there and is no commit: a tag, a tree, a file. Statuses and checkouts are of commits, so that
    /// of a tag the commit has to be asked for that it points to.
    async fn refuse_other_objects(&self, mirror: &Path, object: &str) -> Result<(), GitError> {
        let kind = self.git.run(Some(mirror), &["cat-file", "-t", object]).await?;
        let kind = String::from_utf8_lossy(&kind.stdout).trim().to_owned();
        let what = match kind.as_str() {
            // It is not there, or is one.
            "" | "commit" => return Ok(()),
            "tag" => "an annotated tag",
            "tree" => "a folder (a tree)",
            "blob" => "a file (a blob)",
            other => other,
        };
        let commit = format!("{object}^{{commit}}");
        let peeled = self
            .git
            .run(Some(mirror), &["rev-parse", "--verify", "--quiet", &commit])
            .await?;
        let commit = String::from_utf8_lossy(&peeled.stdout).trim().to_owned();
        Err(GitError::Refused(if commit.is_empty() {
            format!("{object} is {what}, and no commit")
        } else {
            format!("{object} is {what}, and no commit: the commit that it points to is {commit}")
        }))
    }

    async fn make(&self, mirror: &Path) -> Result<(), GitError> {
        let made = self
            .git
            .run(None, &["init", "--quiet", "--bare", "--", text(mirror)?])
            .await?;
        made.or_failed()
    }

    /// Whether the commit and all that a checkout needs of it is there.
    async fn has(&self, mirror: &Path, commit: &str) -> Result<bool, GitError> {
        let object = format!("{commit}^{{commit}}");
        let found = self.git.run(Some(mirror), &["cat-file", "-e", &object]).await?;
        Ok(found.success)
    }

    async fn fetch_branches_and_tags(&self, repository: &Repository, mirror: &Path) -> Result<(), GitError> {
        // Pruning, or a branch `a/b` could never take the place of a branch `a`.
        let refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let fetched = self.git.fetch(repository, mirror, "--prune", &refs).await?;
        fetched.or_classified()
    }

    /// A commit that no branch and no tag holds any more, after a forced push or where a checkout is
    /// detached: most sources give it when it is asked for by name.
    async fn fetch_commit(
        &self,
        repository: &Repository,
        mirror: &Path,
        commit: &str,
    ) -> Result<(), GitError> {
        let refs = [format!("+{commit}:{}", pinned(commit))];
        let fetched = self
            .git
            .fetch(repository, mirror, "--no-prune", &[&refs[0]])
            .await?;
        fetched.or_classified().map_err(|error| match error {
            GitError::Refused(message) => {
                GitError::Refused(format!("commit {commit} is in no branch and no tag; {message}"))
            }
            failed @ GitError::Failed(_) => failed,
        })?;
        self.refuse_other_objects(mirror, commit).await?;
        if self.has(mirror, commit).await? {
            Ok(())
        } else {
            Err(GitError::Refused(format!("there is no commit {commit}")))
        }
    }

    /// Keeps the commit from being collected when its branch is gone.
    async fn pin(&self, mirror: &Path, commit: &str) -> Result<(), GitError> {
        let pin = pinned(commit);
        let pinned = self.git.run(Some(mirror), &["update-ref", &pin, commit]).await?;
        pinned.or_failed()
    }

    /// The first of these files that is in a commit.
    pub(crate) async fn config_file(
        &self,
        repository: &Repository,
        commit: &str,
        names: &[&'static str],
    ) -> Result<ConfigFile, GitError> {
        if let Some((_, known)) = repository.in_place()
            && known.commit == commit
        {
            return Ok(ConfigFile::Found {
                name: known.config,
                bytes: known.bytes.clone(),
            });
        }
        let mirror = self.mirror(repository);
        let mut arguments = vec!["ls-tree", "-z", "-l", "--full-tree", commit, "--"];
        arguments.extend(names);
        let listed = self.git.run(Some(&mirror), &arguments).await?;
        listed.or_failed()?;
        let entries = words::tree_entries(&listed.stdout);
        for name in names {
            let Some(entry) = entries.iter().find(|entry| entry.path == *name) else {
                continue;
            };
            if let Some(why) = entry.unusable(LARGEST_CONFIG) {
                return Ok(ConfigFile::Unusable { name, why });
            }
            let shown = self
                .git
                .run(Some(&mirror), &["cat-file", "blob", &entry.object])
                .await?;
            shown.or_failed()?;
            return Ok(ConfigFile::Found {
                name,
                bytes: shown.stdout,
            });
        }
        Ok(ConfigFile::Missing)
    }
}

/// The ref that keeps a commit. It is hidden from clones.
fn pinned(commit: &str) -> String {
    format!("refs/goatherd/{commit}")
}

fn text(path: &Path) -> Result<&str, GitError> {
    path.to_str()
        .ok_or_else(|| GitError::Refused(format!("{} is no UTF-8", path.display())))
}

/// Removes the lock files that a killed git left. Objects are left alone: git writes them under other
/// names and collects what is broken off.
fn remove_locks(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != "objects" {
            remove_locks(&entry.path())?;
        } else if kind.is_file()
            && entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "lock")
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
