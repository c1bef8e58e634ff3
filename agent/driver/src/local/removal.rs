//! Removing a folder that a task has worked in: folders without permissions, and trees deeper than a path
//! can be long or a stack can hold.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::folder::Folder;
use super::isolation::Kind;
use super::traces::{self, Kin};

/// Removed last, in this order: as long as anything is left, the place is found and its lock can be held.
const LAST: [&str; 4] = ["state.json", "exit.json", "labels.json", "lock"];

/// Removes a place's folder. The caller holds its lock, and nothing runs in it. A folder that is not there is
/// no error.
pub(super) fn remove(folder: &Folder) -> io::Result<()> {
    if !folder.exists()? {
        return Ok(());
    }
    empty(folder)?;
    let top = open_folder(folder.path())?;
    for name in LAST {
        ignoring_absence(unlinkat(&top, name, UnlinkatFlags::NoRemoveDir))?;
    }
    match std::fs::remove_dir(folder.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes all but the files that tell whose the place is and how it ended. Where no namespace has done it, what
/// may still run in the place is ended first.
pub(super) fn empty(folder: &Folder) -> io::Result<()> {
    if let Some(spec) = folder.spec()?.filter(|spec| spec.kind == Kind::Plain) {
        traces::end(folder, &spec, Kin::Elsewhere)?;
    }
    let top = open_folder(folder.path())?;
    let mut moved = 0_u64;
    loop {
        let names = names(&top)?;
        let mut found = false;
        for name in names
            .iter()
            .filter(|name| !LAST.iter().any(|last| name.as_slice() == last.as_bytes()))
        {
            found = true;
            remove_entry(&top, name, &mut moved)?;
        }
        if !found {
            return Ok(());
        }
    }
}

/// Removes one entry of `top`. A folder's own folders are moved up to `top`, where the next round finds
/// them, so that no depth needs a stack, a long path or many descriptors.
fn remove_entry(top: &OwnedFd, name: &[u8], moved: &mut u64) -> io::Result<()> {
    if !is_folder(top, name)? {
        return ignoring_absence(unlinkat(top, name, UnlinkatFlags::NoRemoveDir));
    }
    let folder = open_inner(top, name)?;
    for inner in names(&folder)? {
        if is_folder(&folder, inner.as_slice())? {
            // Moving a folder to another parent writes its `..`.
            allow(&folder, &inner)?;
            let up = loop {
                *moved += 1;
                let up = format!(".removed-{moved}");
                if !exists(top, up.as_bytes())? {
                    break up;
                }
            };
            renameat(&folder, inner.as_slice(), top, up.as_str())?;
        } else {
            ignoring_absence(unlinkat(&folder, inner.as_slice(), UnlinkatFlags::NoRemoveDir))?;
        }
    }
    ignoring_absence(unlinkat(top, name, UnlinkatFlags::RemoveDir))
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, FOLDER, Mode::empty())?)
}

fn open_inner(top: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    allow(top, name)?;
    Ok(openat(top, name, FOLDER, Mode::empty())?)
}

/// Lets this user list and change a folder. It was looked at just before, and nothing runs that could
/// replace it with a link.
fn allow(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    Ok(fchmodat(
        parent,
        name,
        Mode::S_IRWXU,
        FchmodatFlags::FollowSymlink,
    )?)
}

fn is_folder(parent: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => {
            Ok(SFlag::from_bits_truncate(status.st_mode).intersection(SFlag::S_IFMT) == SFlag::S_IFDIR)
        }
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn exists(parent: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut listed = Dir::from_fd(openat(folder, ".", FOLDER, Mode::empty())?)?;
    let mut names = Vec::new();
    for entry in listed.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn ignoring_absence(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::ENOENT) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::sys::stat::mkdirat;

    use super::*;

    #[test]
    fn a_tree_deeper_than_a_path_is_long_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().join("t.1"));
        fs::create_dir_all(folder.path()).unwrap();
        fs::write(folder.join("labels.json"), "").unwrap();
        let mut deepest = open_folder(folder.path()).unwrap();
        for _ in 0..700 {
            mkdirat(&deepest, "folder", Mode::S_IRWXU).unwrap();
            deepest = openat(&deepest, "folder", FOLDER, Mode::empty()).unwrap();
        }

        remove(&folder).unwrap();

        assert!(!folder.exists().unwrap());
    }

    #[test]
    fn folders_without_permissions_are_removed_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        let folder = Folder::at(root.path().join("t.1"));
        fs::create_dir_all(folder.join("home/closed/inner")).unwrap();
        fs::write(folder.join("home/closed/file"), "").unwrap();
        symlink(&outside, folder.join("home/link")).unwrap();
        symlink(&outside, folder.join("link")).unwrap();
        for name in ["home/closed/inner", "home/closed", "home"] {
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o0)).unwrap();
        }

        remove(&folder).unwrap();

        assert!(!folder.exists().unwrap());
        assert!(outside.join("kept").exists());
        assert_eq!(outside.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    }
}
