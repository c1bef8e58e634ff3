//! A look whether this host lets a sandbox be made, without making one.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::mount::{MsFlags, mount};
use nix::unistd::{AccessFlags, faccessat};
use sys::namespace::mounts::{Restrictions, attach, copy_tree, restrict_tree};

use super::cage::Cage;
use super::task;
use crate::local::isolation::{Binaries, Kind};
use crate::local::refusal::{self, Refusal};
use crate::local::user;

/// Makes namespaces and tries in them the calls that hosts and containers refuse; then whether a task could execute
/// the binaries where they are.
pub(super) fn run(root: &Path, bin_dir: &Path) -> Result<Binaries, Refusal> {
    let ids = user::example(root).map_err(|error| Refusal::of_users(&error))?;
    let (mut answer, mut found) = io::pipe().map_err(|error| refusal::sentence("make a pipe", &error))?;
    let mut cage = Cage::open(Kind::Namespaces, ids, move |channel| {
        let binaries = open_binaries(bin_dir);
        try_mounts(ids)?;
        if binaries.is_ok_and(|binaries| binaries.iter().all(may_be_executed)) {
            // Without it they are copied.
            let _ = found.write_all(&[1]);
        }
        Ok(channel.ready()?)
    })?;
    cage.await_ready()?;
    cage.release()?;
    let mut shown = Vec::new();
    let heard = answer.read_to_end(&mut shown);
    Ok(if heard.is_ok() && !shown.is_empty() {
        Binaries::Shown
    } else {
        Binaries::Copied
    })
}

/// As a place would show them.
fn open_binaries(bin_dir: &Path) -> io::Result<Vec<OwnedFd>> {
    let mut opened = Vec::new();
    for name in init::BINARIES {
        let tree = copy_tree(&bin_dir.join(name))?;
        restrict_tree(&tree, Restrictions::LOOK)?;
        opened.push(tree);
    }
    Ok(opened)
}

/// Whether the user that this process has become may execute it: neither the file's mode, nor its mount, nor its file
/// system keeps it from that. By its real ids, that is without the capabilities that it still has (`access(2)`).
fn may_be_executed(binary: &OwnedFd) -> bool {
    faccessat(binary.as_fd(), "", AccessFlags::X_OK, AtFlags::AT_EMPTY_PATH).is_ok()
}

fn try_mounts(ids: user::Ids) -> Result<(), Refusal> {
    let refused = |tried: &'static str| move |error| Refusal::of_namespaces(tried, &error);
    task::make_mounts_private()?;
    let usr = Path::new("/usr");
    let tree = copy_tree(usr).map_err(refused("copy a mount (open_tree)"))?;
    restrict_tree(&tree, Restrictions::LOOK).map_err(refused("restrict a mount (mount_setattr)"))?;
    task::become_task_user(ids)?;
    attach(&tree, usr).map_err(refused("attach a mount (move_mount)"))?;
    let try_mount = |kind: &str, at: &str| {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>).map_err(std::io::Error::from)
    };
    try_mount("tmpfs", "/usr").map_err(refused("mount a tmpfs"))?;
    try_mount("proc", "/proc").map_err(refused(refusal::PROC))
}
