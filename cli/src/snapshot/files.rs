//! From a working tree to a git tree.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::git;
use super::original::Original;
use super::scratch::Scratch;
use super::status::{Counts, Index, Status};

/// An untracked file that is larger is left out, and named. It is what the largest providers refuse, too.
const LARGEST: u64 = 100 * 1024 * 1024;

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
        let mut list = scratch.reader(&["ls-files", "--stage", "-z"]);
        let mut status = scratch.reader(&[
            "status",
            "--porcelain=v2",
            "-z",
            "--no-renames",
            "--untracked-files=all",
            // They are looked at one by one.
            "--ignore-submodules=all",
        ]);
        let (index, status, filtered) = tokio::join!(
            git::text(&mut list),
            git::output(&mut status),
            filtered(scratch, original)
        );
        let status = status?;
        if !status.status.success() {
            anyhow::bail!("git says: {}", git::words(&status.stderr));
        }
        let mut files = Self::default();
        // What it could not look into.
        let warnings = String::from_utf8_lossy(&status.stderr).into_owned();
        files.notes.extend(warnings.lines().map(str::to_owned));
        let index = Index::read(&index?);
        let status = Status::read(&status.stdout);
        let changes = files.changes(&original.top, &index, &status, filtered?, config);
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
    ) -> Changes {
        let mut changes = Changes::default();
        self.untracked(top, index, status, &mut changes);
        let mut untracked = changes.read.difference(&status.different).count();
        self.filtered(top, status, filtered, &mut changes);
        let is_ignored = |name: &&OsStr| !index.files.contains(*name) && !status.untracked.contains(*name);
        // It decides what runs, so it counts even if git ignores it.
        if let Some(name) = config.filter(is_ignored) {
            self.note(name, "it is taken although git ignores it");
            changes.read.insert(name.to_owned());
            untracked += 1;
        }
        // What was only taken out of the index is there all the same.
        let gone: BTreeSet<_> = status.gone.difference(&status.untracked).cloned().collect();
        let is_deleted = |path: &&OsString| gone.contains(*path) || !is_there(&top.join(path));
        let deleted = status.different.iter().filter(is_deleted).count();
        changes.remove.extend(gone);
        changes.read.extend(status.to_read.iter().cloned());
        let lost = changes.remove.difference(&changes.read);
        let lost = lost.filter(|path| index.files.contains(*path)).count();
        let added = changes.read.difference(&index.files).count();
        self.counts = Counts {
            files: index.files.len() + added - lost,
            changed: status.different.len() - deleted,
            deleted,
            untracked,
        };
        changes
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

    /// Puts a submodule's files in the place of its commit.
    async fn take_submodule(
        &mut self,
        scratch: &Scratch,
        original: &Original,
        path: &OsStr,
    ) -> anyhow::Result<()> {
        let folder = original.top.join(path);
        if fs::symlink_metadata(folder.join(".git")).is_err() {
            self.note(
                path,
                "this submodule is not checked out here, so its folder is empty",
            );
            return Ok(());
        }
        let inner = match Original::at(&folder).await {
            Ok(inner) if inner.object_format == original.object_format => inner,
            Ok(_) => {
                self.note(
                    path,
                    "this submodule's objects are of another format, so its folder is empty",
                );
                return Ok(());
            }
            Err(error) => {
                self.note(
                    path,
                    &format!("this submodule cannot be read, so its folder is empty: {error:#}"),
                );
                return Ok(());
            }
        };
        let parent = scratch.store.parent().context("the store is in a folder")?;
        let own =
            Scratch::new(&scratch.store, parent, &inner).context("cannot make the scratch repository")?;
        let files = Box::pin(Self::take(&own, &inner, None)).await?;
        let tree = files.tree.or_else(|| inner.head.map(|head| head.tree));
        let Some(tree) = tree else {
            self.note(
                path,
                "this submodule has no file and no commit, so its folder is empty",
            );
            return Ok(());
        };
        self.counts.add(files.counts);
        self.notes.extend(
            files
                .notes
                .into_iter()
                .map(|note| format!("in {}: {note}", path.display())),
        );
        self.note(path, "this submodule's files are taken as they are here");
        git::text_of(
            &mut scratch.writer(&["update-index", "-z", "--force-remove", "--stdin"]),
            &git::listed([path]),
        )
        .await?;
        let mut prefix = OsString::from("--prefix=");
        prefix.push(path);
        prefix.push("/");
        git::text(scratch.reader(&["read-tree"]).arg(prefix).arg(&tree)).await?;
        Ok(())
    }

    fn note(&mut self, path: &OsStr, what: &str) {
        self.notes.push(format!("{}: {what}", path.display()));
    }
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
        let list = git::listed(&changes.read);
        let arguments = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"];
        git::text_of(&mut scratch.writer(&arguments), &list)
            .await
            .context("cannot read the working tree")?;
    }
    Ok(())
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

/// How long a file is that can be taken, and why it cannot.
fn length(top: &Path, path: &OsStr) -> Result<u64, String> {
    let path = top.join(path);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() && found.len() > LARGEST => Err(format!("it has {}", size(found.len()))),
        Ok(found) if found.is_file() => File::open(&path)
            .map(|_| found.len())
            .map_err(|error| format!("it cannot be read ({error})")),
        // git knows what to do with a link, and with what is gone again.
        Ok(_) | Err(_) => Ok(0),
    }
}

fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(found) => !found.is_dir(),
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}

/// `3.1 GiB`.
fn size(bytes: u64) -> String {
    let mib = bytes.div_ceil(1024 * 1024);
    if mib < 1024 {
        format!("{mib} MiB")
    } else {
        format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024)
    }
}
