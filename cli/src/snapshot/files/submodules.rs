//! What is where a submodule should be: its files, none, or something else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::Context as _;

use super::{Files, read};
use crate::snapshot::entry::{self, Entry, length};
use crate::snapshot::git;
use crate::snapshot::original::Original;
use crate::snapshot::scratch::Scratch;

impl Files {
    /// Puts a submodule's files in the place of its commit, or whatever else is where it should be.
    pub(super) async fn take_submodule(
        &mut self,
        scratch: &Scratch,
        original: &Original,
        path: &OsStr,
    ) -> anyhow::Result<()> {
        let folder = original.top.join(path);
        match entry::of(&folder) {
            Entry::Folder if entry::of(&folder.join(".git")) != Entry::Absent => {}
            Entry::Folder => return self.take_loose(scratch, original, path).await,
            Entry::File(_) | Entry::Link => {
                self.counts.changed += 1;
                self.counts.files += 1;
                self.note(path, "this is no submodule here any more, and is taken as it is");
                forget(scratch, path).await?;
                return read(scratch, &git::listed([path])).await;
            }
            Entry::Absent => {
                self.counts.deleted += 1;
                return forget(scratch, path).await;
            }
            Entry::Odd(kind) => {
                self.note(path, &format!("it is {kind} here, so it is left out"));
                return forget(scratch, path).await;
            }
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
        forget(scratch, path).await?;
        let mut prefix = OsString::from("--prefix=");
        prefix.push(path);
        prefix.push("/");
        git::text(scratch.reader(&["read-tree"]).arg(prefix).arg(&tree)).await?;
        Ok(())
    }

    /// A submodule's folder without a repository in it: empty where it is not checked out, else its files are
    /// somebody's own.
    async fn take_loose(
        &mut self,
        scratch: &Scratch,
        original: &Original,
        path: &OsStr,
    ) -> anyhow::Result<()> {
        let folder = original.top.join(path);
        let is_empty = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty {
            self.note(
                path,
                "this submodule is not checked out here, so its folder is empty",
            );
            return Ok(());
        }
        forget(scratch, path).await?;
        let mut only = OsString::from(":(literal)");
        only.push(path);
        let mut others = scratch.reader(&["ls-files", "--others", "--exclude-standard", "-z", "--"]);
        let list = git::text(others.arg(only)).await?;
        let mut taken = Vec::new();
        for found in git::pieces(&list).map(OsStr::from_bytes) {
            match length(&original.top, found) {
                _ if found.as_bytes().ends_with(b"/") => {
                    self.note(found, "it is a git repository of its own, so it is left out");
                }
                Ok(_) => taken.push(found),
                Err(why) => self.note(found, &format!("{why}, and untracked, so it is left out")),
            }
        }
        self.counts.files += taken.len();
        self.counts.untracked += taken.len();
        self.note(
            path,
            "this submodule's folder has files and no repository in it; they are taken as they are here",
        );
        read(scratch, &git::listed(taken)).await
    }
}

/// Takes a path out of the scratch index.
async fn forget(scratch: &Scratch, path: &OsStr) -> anyhow::Result<()> {
    let mut command = scratch.writer(&["update-index", "-z", "--force-remove", "--stdin"]);
    git::text_of(&mut command, &git::listed([path])).await?;
    Ok(())
}
