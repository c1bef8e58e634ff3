//! A look whether this host lets a sandbox be made, without making one.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use sys::namespace::mounts::{Restrictions, attach, copy_tree, restrict_tree};

use super::cage::Cage;
use super::task;
use crate::local::isolation::Kind;
use crate::local::refusal::{self, Refusal};
use crate::local::user;

/// Makes namespaces and tries in them the calls that hosts and containers refuse.
pub(super) fn run(root: &Path) -> Result<(), Refusal> {
    let ids = user::example(root).map_err(|error| Refusal::of_users(&error))?;
    let mut cage = Cage::open(Kind::Namespaces, ids, |channel| {
        try_mounts(ids)?;
        Ok(channel.ready()?)
    })?;
    cage.await_ready()?;
    cage.release().map(drop)
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
