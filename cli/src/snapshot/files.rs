//! From a working tree to a git tree.

mod submodules;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::entry::{self, Entry, LARGEST, is_below_folders, is_there, length, size};
use super::git;
use super::original::Original;
use super::patience;
use super::scratch::Scratch;
use super::status::{Counts, Index, Status};

/// How often a working tree is read that changes meanwhile.
const TRIES: usize = 3;

/// A working tree's files as git has them now.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The tree; none where it is known to be the commit's without looking.
    pub(super) tree: Option<String>,
    /// How many there are.
    pub(super) counts: Counts,
    /// What people should know about them.
    pub(super) notes: Vec<String>,
    /// The paths, and folders of submodules, that may differ from what is committed.
    pub(super) changed: BTreeSet<OsString>,
}

/// What the index is to be changed by.
#[derive(Debug, Default)]
struct Changes {
    read: BTreeSet<OsString>,
    remove: BTreeSet<OsString>,
}

impl Files {
    /// Takes all files of a working tree, those of its submodules included.
    /// `config` is a file that is taken even where git ignores it.
    pub(super) async fn take(
        scratch: &Scratch,
        original: &Original,
        config: Option<&OsStr>,
    ) -> anyhow::Result<Self> {
        let mut tries = 1;
        loop {
            let taken = patience::unless_stuck(&original.top, Self::try_to_take(scratch, original, config));
            match taken.await? {
                // A file was cut off or went away between two looks at it.
                Err(error) if error.is::<Unread>() && tries < TRIES => {
                    tries += 1;
                    scratch.renew(original).context("cannot read the index again")?;
                }
                taken => return taken,
            }
        }
    }

    async fn try_to_take(
        scratch: &Scratch,
        original: &Original,
        config: Option<&OsStr>,
    ) -> anyhow::Result<Self> {
        let mut list = scratch.reader(&["ls-files", "--stage", "-v", "-z"]);
        let (index, looked, filtered) =
            tokio::join!(git::text(&mut list), look(scratch), filtered(scratch, original));
        let index = Index::read(&index?);
        let mut looked = looked?;
        if !index.assumed.is_empty() || !index.skipped.is_empty() {
            see_all(scratch, &index).await?;
            looked = look(scratch).await?;
        }
        let (status, warnings) = looked;
        let mut files = Self::default();
        // What it could not look into.
        files.notes.extend(warnings);
        let changes = files.changes(&original.top, &index, &status, filtered?, config)?;
        let is_committed = original.head.is_some();
        if is_committed
            && changes.read.is_empty()
            && changes.remove.is_empty()
            && status.different.is_empty()
            && index.submodules.is_empty()
        {
            return Ok(files);
        }
        change(scratch, &changes).await?;
        files.changed.extend(status.different);
        files.changed.extend(changes.read);
        files.changed.extend(changes.remove);
        for submodule in &index.submodules {
            files.take_submodule(scratch, original, submodule).await?;
        }
        let tree = git::text(&mut scratch.writer(&["write-tree", "--missing-ok"]))
            .await
            .context("cannot make the snapshot's tree")?;
        files.tree = Some(git::words(&tree));
        Ok(files)
    }

    /// What of all that was found goes into the snapshot. What does not is noted.
    fn changes(
        &mut self,
        top: &Path,
        index: &Index,
        status: &Status,
        filtered: BTreeSet<OsString>,
        config: Option<&OsStr>,
    ) -> anyhow::Result<Changes> {
        let mut changes = Changes::default();
        self.untracked(top, index, status, &mut changes);
        let mut untracked = changes.read.difference(&status.different).count();
        self.filtered(top, status, filtered, &mut changes);
        let is_ignored = |name: &&OsStr| !index.files.contains(*name) && !status.untracked.contains(*name);
        // It decides what runs, so it counts even if git ignores it.
        if let Some(name) = config
            .filter(is_ignored)
            .filter(|name| is_below_folders(top, name))
        {
            self.note(name, "it is taken although git ignores it");
            changes.read.insert(name.to_owned());
            untracked += 1;
        }
        // What was only taken out of the index is there all the same.
        let gone: BTreeSet<_> = status.gone.difference(&status.untracked).cloned().collect();
        let is_deleted = |path: &&OsString| gone.contains(*path) || !is_there(&top.join(path));
        let deleted = status.different.iter().filter(is_deleted).count();
        let outside = gone.intersection(&index.skipped).count();
        if outside > 0 {
            self.notes.push(format!(
                "{outside} tracked {} not in this working tree, because git is told to leave {} out (a sparse \
                 checkout): no job sees {}",
                if outside == 1 { "file is" } else { "files are" },
                if outside == 1 { "it" } else { "them" },
                if outside == 1 { "it" } else { "them" },
            ));
        }
        changes.remove.extend(gone);
        for path in &status.to_read {
            match entry::of(&top.join(path)) {
                Entry::Odd(kind) => {
                    self.note(path, &format!("it is {kind} here, so it is left out"));
                    changes.remove.insert(path.clone());
                }
                Entry::File(_) => {
                    match File::open(top.join(path)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(unreadable(path, &error));
                        }
                        // What is gone again is for git to find out.
                        _ => _ = changes.read.insert(path.clone()),
                    }
                }
                Entry::Folder | Entry::Link | Entry::Absent => _ = changes.read.insert(path.clone()),
            }
        }
        let lost = changes.remove.difference(&changes.read);
        let lost = lost.filter(|path| index.files.contains(*path)).count();
        let added = changes.read.difference(&index.files).count();
        self.counts = Counts {
            files: index.files.len() + added - lost,
            changed: status.different.len() - deleted,
            deleted: deleted - outside,
            untracked,
        };
        Ok(changes)
    }

    fn untracked(&mut self, top: &Path, index: &Index, status: &Status, changes: &mut Changes) {
        let mut bytes: u64 = 0;
        for path in &status.untracked {
            match length(top, path) {
                Ok(length) => {
                    bytes = bytes.saturating_add(length);
                    changes.read.insert(path.clone());
                }
                Err(why) => {
                    let way_out = "`git add` it to run with it, or ignore it";
                    self.note(
                        path,
                        &format!("{why}, and untracked, so it is left out; {way_out}"),
                    );
                }
            }
        }
        if bytes > LARGEST {
            let bytes = size(bytes);
            let note = format!("the untracked files have {bytes} in all; let git ignore what no job needs");
            self.notes.push(note);
        }
        for path in status.repositories.difference(&index.submodules) {
            let why = "it is a git repository of its own and no submodule, so it is left out";
            self.note(path, why);
        }
    }

    fn filtered(&mut self, top: &Path, status: &Status, filtered: BTreeSet<OsString>, changes: &mut Changes) {
        for path in filtered {
            let is_file = fs::symlink_metadata(top.join(&path)).is_ok_and(|found| found.is_file());
            if status.gone.contains(&path) || !is_file {
                continue;
            }
            match length(top, &path) {
                Ok(_) => {
                    // Entered anew, because git sees no change in it.
                    changes.remove.insert(path.clone());
                    changes.read.insert(path);
                }
                Err(why) => self.note(&path, &format!("{why}, so what git's filter made of it is taken")),
            }
        }
    }

    fn note(&mut self, path: &OsStr, what: &str) {
        self.notes.push(format!("{}: {what}", path.display()));
    }
}

/// git could not read a file that it was asked to read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the working tree; if something writes to it, try again when that is over: {0:#}")]
struct Unread(anyhow::Error);

fn unreadable(path: &OsStr, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    anyhow::anyhow!("{path} is tracked, differs from what git has and cannot be read: {error}")
}

/// How the working tree differs, and git's words about what it could not look into.
async fn look(scratch: &Scratch) -> anyhow::Result<(Status, Vec<String>)> {
    let mut status = scratch.reader(&[
        "status",
        "--porcelain=v2",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        // They are looked at one by one.
        "--ignore-submodules=all",
    ]);
    let status = git::output(&mut status).await?;
    if !status.status.success() {
        return Err(git::failed(&status));
    }
    let warnings = String::from_utf8_lossy(&status.stderr);
    let warnings = warnings.lines().map(str::to_owned).collect();
    Ok((Status::read(&status.stdout), warnings))
}

/// Lets git look at everything in its copy of the index: what is in the working tree counts.
async fn see_all(scratch: &Scratch, index: &Index) -> anyhow::Result<()> {
    for (flag, paths) in [
        ("--no-assume-unchanged", &index.assumed),
        ("--no-skip-worktree", &index.skipped),
    ] {
        if !paths.is_empty() {
            let mut command = scratch.writer(&["update-index", "-z", flag, "--stdin"]);
            git::text_of(&mut command, &git::listed(paths)).await?;
        }
    }
    Ok(())
}

/// Changes the scratch index.
async fn change(scratch: &Scratch, changes: &Changes) -> anyhow::Result<()> {
    if !changes.remove.is_empty() {
        let list = git::listed(&changes.remove);
        git::text_of(
            &mut scratch.writer(&["update-index", "-z", "--force-remove", "--stdin"]),
            &list,
        )
        .await?;
    }
    if !changes.read.is_empty() {
        read(scratch, &git::listed(&changes.read)).await?;
    }
    Ok(())
}

/// Reads files of the working tree into the scratch index; `list` has their paths as git takes them.
async fn read(scratch: &Scratch, list: &[u8]) -> anyhow::Result<()> {
    let arguments = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"];
    let read = git::text_of(&mut scratch.writer(&arguments), list).await;
    read.map(|_| ()).map_err(|error| {
        if error.is::<git::Full>() {
            error
        } else {
            Unread(error).into()
        }
    })
}

/// The tracked files that a filter of the user's changes on their way into git. They are taken as they are in
/// the working tree: no filter is run, here or in a job.
async fn filtered(scratch: &Scratch, original: &Original) -> anyhow::Result<BTreeSet<OsString>> {
    let plain = |name: &&String| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let patterns: Vec<String> = original
        .filters
        .iter()
        .filter(plain)
        .map(|name| format!(":(attr:filter={name})"))
        .collect();
    if patterns.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut command = scratch.reader(&["ls-files", "-z", "--"]);
    let list = git::text(command.args(patterns)).await?;
    Ok(git::pieces(&list)
        .map(|path| OsStr::from_bytes(path).to_owned())
        .collect())
}
