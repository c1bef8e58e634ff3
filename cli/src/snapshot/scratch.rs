//! The repository that snapshots are made in. It is laid out by hand (`gitrepository-layout(5)`), because that
//! is a few small files and `git init` is a process.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::process::Command;

use super::git;
use super::original::Original;

/// What git is told besides the user's settings: write fast, because it is for this run only.
const SETTINGS: [(&str, &str); 5] = [
    ("core.fsync", "none"),
    ("core.looseCompression", "0"),
    ("core.safecrlf", "false"),
    ("core.hooksPath", "/dev/null"),
    ("gc.auto", "0"),
];

const MESSAGE: &str = "The working tree, as `goatherd run` found it";

/// A folder in which git works on a copy of an index, with the user's files as working tree and the objects in
/// one store for all.
///
/// Whoever reads sees the user's objects, and whoever writes does not: git renews the time of an object that it
/// would write and finds, wherever it finds it.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The bare repository with the objects, which borrows those of the user's repositories.
    pub(super) store: PathBuf,
    /// Where new objects go; none where they cannot be made without a look at the user's, some of whose times git
    /// renews then.
    written: Option<PathBuf>,
    folder: PathBuf,
    top: PathBuf,
    settings: Vec<(String, String)>,
}

impl Scratch {
    /// Makes the folder, in `parent`, and what is there for all where it is missing.
    pub(super) fn new(store: &Path, parent: &Path, original: &Original) -> io::Result<Self> {
        let mut number = 0;
        let folder = loop {
            let folder = parent.join(format!("index-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => break folder,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        for repository in [store, &folder] {
            lay_out(repository, original)?;
        }
        let written = parent.join("objects");
        fs::create_dir_all(&written)?;
        let mut alternates = File::options()
            .append(true)
            .create(true)
            .open(store.join("objects/info/alternates"))?;
        for objects in [&written, &original.objects] {
            writeln!(alternates, "{}", objects.display())?;
        }
        fs::create_dir_all(folder.join("info"))?;
        copy(&original.index, &folder.join("index"))?;
        copy(&original.exclude, &folder.join("info/exclude"))?;
        copy(&original.attributes, &folder.join("info/attributes"))?;
        copy_shared_indexes(&original.git_dir, &folder)?;
        if let Some(head) = &original.head {
            fs::write(folder.join("HEAD"), format!("{}\n", head.commit))?;
        }
        let own = SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(Self {
            store: store.to_owned(),
            written: (!may_be_sparse(original, &folder.join("index"))?).then_some(written),
            folder,
            top: original.top.clone(),
            settings: original.settings.iter().cloned().chain(own).collect(),
        })
    }

    /// Copies the index anew.
    pub(super) fn renew(&self, original: &Original) -> io::Result<()> {
        let index = self.folder.join("index");
        match fs::remove_file(&index) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        copy(&original.index, &index)?;
        copy_shared_indexes(&original.git_dir, &self.folder)
    }

    /// git on the copied index and the user's files, to read objects.
    pub(super) fn reader(&self, arguments: &[&str]) -> Command {
        self.git(&self.store.join("objects"), arguments)
    }

    /// The same, to write objects.
    pub(super) fn writer(&self, arguments: &[&str]) -> Command {
        match &self.written {
            Some(objects) => self.git(objects, arguments),
            None => self.reader(arguments),
        }
    }

    fn git(&self, objects: &Path, arguments: &[&str]) -> Command {
        let mut command = git::plain(&self.top);
        command
            .env("GIT_DIR", &self.folder)
            .env("GIT_WORK_TREE", &self.top)
            .env("GIT_INDEX_FILE", self.folder.join("index"))
            .env("GIT_OBJECT_DIRECTORY", objects)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (key, value)) in self.settings.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{number}"), key)
                .env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.args(arguments);
        command
    }

    /// How many files a commit has.
    pub(super) async fn count_in(&self, commit: &str) -> anyhow::Result<usize> {
        let list =
            git::text(&mut self.reader(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit]))
                .await?;
        Ok(git::pieces(&list).count())
    }

    /// Makes a commit of a tree.
    pub(super) async fn commit(&self, tree: &str, parent: Option<&str>) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let who = format!("goatherd run <goatherd@localhost> {} +0000", now.as_secs());
        let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{MESSAGE}\n");
        // Not `commit-tree`, which wants to see the parent.
        let mut command = self.writer(&["hash-object", "-t", "commit", "-w", "--stdin"]);
        let commit = git::text_of(&mut command, text.as_bytes())
            .await
            .context("cannot make the snapshot's commit")?;
        Ok(git::words(&commit))
    }

    /// Says where history ends, so that nothing is looked for that is not there.
    pub(super) fn cut_history(&self, original: &Original, commit: &str) -> anyhow::Result<()> {
        let shallow = self.store.join("shallow");
        if original.is_partial {
            // Which files of the past are missing nobody knows.
            fs::write(&shallow, format!("{commit}\n"))
        } else {
            copy(&original.shallow, &shallow)
        }
        .context("cannot say where the history ends")
    }
}

fn lay_out(repository: &Path, original: &Original) -> io::Result<()> {
    for folder in ["objects/info", "refs"] {
        fs::create_dir_all(repository.join(folder))?;
    }
    // What is checked out matters only in a copy of an index.
    fs::write(repository.join("HEAD"), "ref: refs/heads/goatherd\n")?;
    let format = match original.object_format.as_str() {
        "sha1" => "[core]\n\trepositoryformatversion = 0\n".to_owned(),
        other => format!("[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = {other}\n"),
    };
    fs::write(repository.join("config"), format)
}

/// Copies a file that may be missing, with the time of its last change: git takes a file that was changed at
/// the very time of its index for one that it must look into.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", from.display()),
            ));
        }
    };
    let mut target = File::create(to)?;
    io::copy(&mut source, &mut target)?;
    target.set_modified(source.metadata()?.modified()?)
}

/// Whether an index may leave files to trees (`sdir` in it, `gitformat-index(5)`), which must be read then.
fn may_be_sparse(original: &Original, index: &Path) -> io::Result<bool> {
    let is_allowed = original
        .settings
        .iter()
        .any(|(key, _)| key == "core.sparsecheckout");
    if !is_allowed {
        return Ok(false);
    }
    match fs::read(index) {
        Ok(content) => Ok(content.windows(4).any(|word| word == b"sdir")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A split index is in two files, and git looks for the second in the repository's folder.
fn copy_shared_indexes(git_dir: &Path, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(git_dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"sharedindex.") {
            copy(&entry.path(), &folder.join(entry.file_name()))?;
        }
    }
    Ok(())
}
