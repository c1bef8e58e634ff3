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
use crate::followed::{self, Followed};

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
        let format = Format::of(commit);
        if !mirror.join("HEAD").exists() {
            self.make(&mirror, format).await?;
        } else if let Some(other) = Format::of_mirror(&mirror).filter(|found| *found != format) {
            if self.has_any(&mirror).await? {
                let (name, mirror) = (repository.name(), mirror.display());
                return Err(GitError::Refused(format!(
                    "{commit} is the name of a {} object, and {name} has {} ones; if that has changed at its \
                     source, remove {mirror} while the server is stopped",
                    format.word(),
                    other.word()
                )));
            }
            // A commit that never was decided what it should hold.
            fs::remove_dir_all(&mirror)
                .map_err(|error| GitError::Failed(format!("{}: {error}", mirror.display())))?;
            self.make(&mirror, format).await?;
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

    async fn make(&self, mirror: &Path, format: Format) -> Result<(), GitError> {
        let mut arguments = vec!["init", "--quiet", "--bare"];
        if format == Format::Sha256 {
            // The usual one is not named: a git before 2.29 knows no other, and no such option.
            arguments.push("--object-format=sha256");
        }
        arguments.extend(["--", text(mirror)?]);
        self.git.run(None, &arguments).await?.or_failed()
    }

    /// Whether anything was ever fetched.
    async fn has_any(&self, mirror: &Path) -> Result<bool, GitError> {
        let refs = self.git.run(Some(mirror), &["for-each-ref", "--count=1"]).await?;
        refs.or_failed()?;
        Ok(!refs.stdout.is_empty())
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
        let asked: String = names.iter().map(|name| format!("{commit}:{name}\n")).collect();
        let told = self.git.ask(&mirror, &followed::CHECK, &asked).await?;
        told.or_failed()?;
        let mut answers = told.stdout.as_slice();
        for name in names {
            let (found, rest) = Followed::next(answers)
                .ok_or_else(|| GitError::Failed(format!("git does not tell what {name} is")))?;
            answers = rest;
            let object = match found {
                Followed::Missing => continue,
                Followed::File { object, size } if size <= LARGEST_CONFIG => object,
                Followed::File { size, .. } => {
                    let why = format!("it has {size} bytes, and at most {LARGEST_CONFIG} are read");
                    return Ok(ConfigFile::Unusable { name, why });
                }
                Followed::Unusable(why) => {
                    let why = format!("it {why}");
                    return Ok(ConfigFile::Unusable { name, why });
                }
            };
            let shown = self
                .git
                .run(Some(&mirror), &["cat-file", "blob", &object])
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

/// How the objects of a repository are named. It has one for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Sha1,
    Sha256,
}

impl Format {
    /// That of a commit's name.
    fn of(commit: &str) -> Self {
        match commit.len() {
            64 => Self::Sha256,
            _ => Self::Sha1,
        }
    }

    /// That of a mirror, where it can be told: `extensions.objectFormat` (`gitrepository-layout(5)`).
    fn of_mirror(mirror: &Path) -> Option<Self> {
        let config = fs::read_to_string(mirror.join("config")).ok()?.to_lowercase();
        let named = config.lines().filter_map(|line| line.split_once('='));
        let mut formats = named.filter(|(key, _)| key.trim() == "objectformat");
        Some(match formats.next() {
            Some((_, value)) if value.trim() == "sha256" => Self::Sha256,
            _ => Self::Sha1,
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
        }
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
