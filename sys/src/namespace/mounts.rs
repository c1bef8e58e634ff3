//! Mounts by descriptor: a tree is copied where it is visible, restricted, and attached somewhere else,
//! possibly as another user and after its path is gone.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::checked;

/// What a mount does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// Nothing is written.
    pub read_only: bool,
    /// No setuid, setgid or file capability counts.
    pub no_setuid: bool,
    /// No device is opened.
    pub no_devices: bool,
    /// No program is executed.
    pub no_execution: bool,
}

impl Restrictions {
    /// For what is only looked at: read-only, no setuid, no devices.
    pub const LOOK: Self = Self {
        read_only: true,
        no_setuid: true,
        no_devices: true,
        no_execution: false,
    };
    /// For what is worked in: no setuid, no devices.
    pub const WORK: Self = Self {
        read_only: false,
        ..Self::LOOK
    };
    /// For a device: no setuid, no execution.
    pub const DEVICE: Self = Self {
        read_only: false,
        no_setuid: true,
        no_devices: false,
        no_execution: true,
    };

    fn attributes(self) -> u64 {
        // The kernel's MOUNT_ATTR_*; not every libc has them.
        [
            (self.read_only, 0x1),
            (self.no_setuid, 0x2),
            (self.no_devices, 0x4),
            (self.no_execution, 0x8),
        ]
        .into_iter()
        .filter_map(|(set, bit)| set.then_some(bit))
        .sum()
    }
}

/// Copies what is mounted at `path`, with all that is mounted below it, to a tree that is attached nowhere.
/// Needs the mount namespace's CAP_SYS_ADMIN.
///
/// # Errors
/// When the path cannot be reached or the system refuses.
pub fn copy_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = text(path)?;
    // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE; not every libc has them.
    let flags: libc::c_long = 0x1 | libc::c_long::from(libc::O_CLOEXEC) | 0x8000;
    let here = libc::c_long::from(libc::AT_FDCWD);
    // SAFETY: the kernel reads a text that ends in 0 and outlives the call.
    let returned = unsafe { libc::syscall(libc::SYS_open_tree, here, path.as_ptr(), flags) };
    let number = i32::try_from(checked(returned)?).expect("a descriptor fits an i32");
    // SAFETY: the call above made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Restricts a tree with all that is mounted in it, and takes it out of its peer groups.
///
/// # Errors
/// When the system refuses.
pub fn restrict_tree(tree: impl AsFd, restrictions: Restrictions) -> io::Result<()> {
    // AT_EMPTY_PATH | AT_RECURSIVE.
    set_attributes(tree.as_fd().as_raw_fd(), c"", 0x1000 | 0x8000, restrictions)
}

/// Restricts the one mount at `path`, not what is mounted below it.
///
/// # Errors
/// When nothing is mounted there or the system refuses.
pub fn restrict_mount(path: &Path, restrictions: Restrictions) -> io::Result<()> {
    set_attributes(libc::AT_FDCWD, &text(path)?, 0, restrictions)
}

/// Attaches a tree at `path`, which must exist and be of the tree's kind.
///
/// # Errors
/// When the system refuses.
pub fn attach(tree: impl AsFd, path: &Path) -> io::Result<()> {
    let path = text(path)?;
    // MOVE_MOUNT_F_EMPTY_PATH.
    let flags: libc::c_long = 0x4;
    // SAFETY: the kernel reads two texts that end in 0 and outlive the call.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            libc::c_long::from(tree.as_fd().as_raw_fd()),
            c"".as_ptr(),
            libc::c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            flags,
        )
    };
    checked(returned).map(drop)
}

/// The kernel's `struct mount_attr`; not every libc has it.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(
    folder: libc::c_int,
    path: &CStr,
    flags: libc::c_long,
    restrictions: Restrictions,
) -> io::Result<()> {
    let attributes = MountAttributes {
        set: restrictions.attributes(),
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: 0,
    };
    // SAFETY: the kernel reads a text that ends in 0 and a structure of the size given; both outlive the call.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::c_long::from(folder),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    checked(returned).map(drop)
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn an_attached_copy_is_read_only_and_its_original_is_not() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
        fs::create_dir(&original).unwrap();
        fs::create_dir(&copy).unwrap();

        // A mount namespace belongs to a thread, so that nothing of this reaches the host's table.
        let written = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            restrict_tree(fs::File::open("/").unwrap(), Restrictions::default()).unwrap();
            let tree = copy_tree(&original).unwrap();
            restrict_tree(&tree, Restrictions::LOOK).unwrap();
            attach(&tree, &copy).unwrap();
            let refused = fs::write(copy.join("a"), "").unwrap_err();
            fs::write(original.join("b"), "").unwrap();
            (refused, copy.join("b").exists())
        })
        .join()
        .unwrap();

        assert_eq!(written.0.kind(), io::ErrorKind::ReadOnlyFilesystem);
        assert!(written.1);
        assert!(!folder.path().join("copy/b").exists());
    }
}
