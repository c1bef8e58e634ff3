//! What git says about files: `git status --porcelain=v2 -z` and `git ls-files --stage -v -z`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::git::pieces;

/// How a working tree differs from its commit and its index. Paths are relative to its top.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Tracked files whose content is to be read.
    pub(super) to_read: BTreeSet<OsString>,
    /// Tracked files that are gone.
    pub(super) gone: BTreeSet<OsString>,
    /// Tracked files that differ from the commit, those that are gone included.
    pub(super) different: BTreeSet<OsString>,
    /// Untracked files, except those that git ignores.
    pub(super) untracked: BTreeSet<OsString>,
    /// Untracked folders that are git repositories of their own.
    pub(super) repositories: BTreeSet<OsString>,
}

/// What is in an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// All paths but the submodules'.
    pub(super) files: BTreeSet<OsString>,
    /// The submodules' paths.
    pub(super) submodules: BTreeSet<OsString>,
    /// What git is told to take for unchanged without a look (`--assume-unchanged`).
    pub(super) assumed: BTreeSet<OsString>,
    /// What git is told to leave out of the working tree (`--skip-worktree`): a sparse checkout does so.
    pub(super) skipped: BTreeSet<OsString>,
}

/// How many files a snapshot has, and how many of what kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// All.
    pub(super) files: usize,
    /// Tracked and different from the commit.
    pub(super) changed: usize,
    /// In the commit and gone.
    pub(super) deleted: usize,
    /// Untracked, and in the snapshot.
    pub(super) untracked: usize,
}

impl Counts {
    pub(super) fn differences(&self) -> usize {
        self.changed + self.deleted + self.untracked
    }

    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.changed += other.changed;
        self.deleted += other.deleted;
        self.untracked += other.untracked;
    }
}

impl Status {
    /// Reads what git printed. What it does not know it leaves alone.
    pub(super) fn read(text: &[u8]) -> Self {
        let mut status = Self::default();
        for entry in pieces(text) {
            match entry.first() {
                // 1 XY sub mH mI mW hH hI path
                Some(b'1') => status.tracked(entry, 8),
                // u XY sub m1 m2 m3 mW h1 h2 h3 path
                Some(b'u') => status.tracked(entry, 10),
                Some(b'?') => status.untracked(entry.get(2..).unwrap_or_default()),
                _ => {}
            }
        }
        status
    }

    fn tracked(&mut self, entry: &[u8], fields: usize) {
        let Some(path) = entry.splitn(fields + 1, |byte| *byte == b' ').nth(fields) else {
            return;
        };
        let path = OsStr::from_bytes(path).to_owned();
        let conflict = entry.first() == Some(&b'u');
        let (staged, here) = (entry.get(2).copied(), entry.get(3).copied());
        // Before the index is settled a conflict is in it up to three times; the file's presence decides then.
        match here {
            Some(b'D') if !conflict => _ = self.gone.insert(path.clone()),
            Some(b'.') if !conflict => {
                if staged == Some(b'D') {
                    self.gone.insert(path.clone());
                }
            }
            _ => _ = self.to_read.insert(path.clone()),
        }
        self.different.insert(path);
    }

    fn untracked(&mut self, path: &[u8]) {
        match path.strip_suffix(b"/") {
            Some(folder) => self.repositories.insert(OsStr::from_bytes(folder).to_owned()),
            None => self.untracked.insert(OsStr::from_bytes(path).to_owned()),
        };
    }
}

impl Index {
    /// Reads what git printed.
    pub(super) fn read(text: &[u8]) -> Self {
        let mut index = Self::default();
        for entry in pieces(text) {
            // tag mode object stage<TAB>path
            let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else {
                continue;
            };
            let path = OsStr::from_bytes(entry.get(tab + 1..).unwrap_or_default()).to_owned();
            let tag = entry.first().copied().unwrap_or_default();
            if tag.is_ascii_lowercase() {
                index.assumed.insert(path.clone());
            }
            if tag.eq_ignore_ascii_case(&b'S') {
                index.skipped.insert(path.clone());
            }
            if entry.get(2..).unwrap_or_default().starts_with(b"160000 ") {
                index.submodules.insert(path);
            } else {
                index.files.insert(path);
            }
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<OsString> {
        paths.iter().map(OsString::from).collect()
    }

    #[test]
    fn each_kind_of_difference_goes_where_it_belongs() {
        let zero = "0".repeat(40);
        let line = |xy: &str, path: &str| format!("1 {xy} N... 100644 100644 100644 {zero} {zero} {path}\0");
        let text = [
            line(".M", "a changed file"),
            line("M.", "staged"),
            line(".D", "gone"),
            line("D.", "gone from the index"),
            line(".A", "meant to be added"),
            format!("u UU N... 100644 100644 100644 100644 {zero} {zero} {zero} in conflict\0"),
            "? new\nline\0? nested/\0! ignored\0".to_owned(),
        ]
        .concat();

        let status = Status::read(text.as_bytes());

        assert_eq!(
            status.to_read,
            set(&["a changed file", "in conflict", "meant to be added"])
        );
        assert_eq!(status.gone, set(&["gone", "gone from the index"]));
        assert_eq!(status.different.len(), 6);
        assert_eq!(status.untracked, set(&["new\nline"]));
        assert_eq!(status.repositories, set(&["nested"]));
    }

    #[test]
    fn submodules_are_told_from_files_and_what_git_does_not_look_at_from_the_rest() {
        let index = Index::read(
            b"H 100644 abc 0\ta\x00H 160000 abc 0\tlib/x\x00M 100644 abc 1\tb\x00M 100644 abc 2\tb\x00\
              h 100644 abc 0\tc\x00S 100644 abc 0\td\x00s 100644 abc 0\te\0",
        );

        assert_eq!(index.files, set(&["a", "b", "c", "d", "e"]));
        assert_eq!(index.submodules, set(&["lib/x"]));
        assert_eq!(index.assumed, set(&["c", "e"]));
        assert_eq!(index.skipped, set(&["d", "e"]));
    }
}
