//! The root that a task sees: an allow-list of the host, and what is the task's own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{SFlag, fstat};
use sys::namespace::mounts::{Restrictions, attach, copy_tree, restrict_mount, restrict_tree};

use crate::local::folder::{Folder, Spec, inside};
use crate::local::refusal;
use crate::local::user::TASK;

/// The task's user and group.
pub(super) const NAME: &str = "goatherd";

/// What is shown of the host's `/etc`, besides `ld.so.*`, hosts and the content of resolv.conf.
const OF_ETC: [&str; 6] = [
    "alternatives",
    "ssl/certs",
    "ca-certificates",
    "nsswitch.conf",
    "localtime",
    "gitconfig",
];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Something that will be in the new root, at a path relative to it.
struct Piece {
    at: PathBuf,
    what: What,
}

enum What {
    Link(PathBuf),
    Text(Vec<u8>),
    Folder(OwnedFd),
    File(OwnedFd),
}

/// Everything that a root consists of, opened and ready to be attached.
pub(super) struct Root(Vec<Piece>);

impl Root {
    /// Opens all sources, as a user that may reach them, and goes to where the root will be built.
    pub(super) fn gather(folder: &Folder, spec: &Spec) -> Result<Self, String> {
        let mut root = Self(Vec::new());
        let system = fs::read_dir("/").map_err(|error| refusal::sentence("list /", &error))?;
        for entry in system.flatten() {
            let name = entry.file_name();
            if is_system(&name) {
                root.look(&Path::new("/").join(name))?;
            }
        }
        root.gather_etc(spec)?;
        for device in DEVICES {
            let device = Path::new("/dev").join(device);
            root.tree(&device, &device, Restrictions::DEVICE)?;
        }
        root.gather_binaries(folder, spec)?;
        let own = [
            ("goat", inside::GOAT, Restrictions::WORK),
            ("home", inside::HOME, Restrictions::WORK),
            ("tmp", inside::TMP, Restrictions::WORK),
        ];
        for (name, at, restrictions) in own {
            root.tree(&folder.join(name), Path::new(at), restrictions)?;
        }
        // Last, because they may lie in the task's own folders.
        for path in &spec.expose {
            let restrictions = if path.starts_with("/dev") {
                Restrictions::DEVICE
            } else {
                Restrictions::LOOK
            };
            root.tree(path, path, restrictions)?;
        }
        std::env::set_current_dir(folder.join("mount"))
            .map_err(|error| refusal::sentence("enter the place's mount folder", &error))?;
        Ok(root)
    }

    fn gather_binaries(&mut self, folder: &Folder, spec: &Spec) -> Result<(), String> {
        let inside = Path::new(inside::BIN);
        let Some(installed) = &spec.binaries else {
            return self.tree(&folder.join("bin"), inside, Restrictions::LOOK);
        };
        for name in init::BINARIES {
            self.tree(&installed.join(name), &inside.join(name), Restrictions::LOOK)?;
        }
        self.0.push(Piece {
            at: relative(&inside.join(init::LINK)),
            what: What::Link(inside.join(init::LINKED)),
        });
        Ok(())
    }

    fn gather_etc(&mut self, spec: &Spec) -> Result<(), String> {
        for name in OF_ETC {
            self.look(&Path::new("/etc").join(name))?;
        }
        for entry in fs::read_dir("/etc").into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"ld.so.") {
                self.look(&entry.path())?;
            }
        }
        let shell = ["/bin/bash", "/bin/sh"]
            .into_iter()
            .find(|shell| Path::new(shell).exists())
            .unwrap_or("/bin/sh");
        let home = inside::HOME;
        let name = &spec.name;
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1\tlocalhost\n".to_owned());
        self.text(
            "etc/passwd",
            format!(
                "root:x:0:0:root:/root:/bin/false\n\
                 {NAME}:x:{TASK}:{TASK}:{NAME}:{home}:{shell}\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
            ),
        );
        self.text(
            "etc/group",
            format!("root:x:0:\n{NAME}:x:{TASK}:\nnogroup:x:65534:\n"),
        );
        self.text("etc/hostname", format!("{name}\n"));
        self.text("etc/hosts", format!("{}\n127.0.0.1\t{name}\n", hosts.trim_end()));
        if let Ok(content) = fs::read("/etc/resolv.conf") {
            self.0.push(Piece {
                at: "etc/resolv.conf".into(),
                what: What::Text(content),
            });
        }
        Ok(())
    }

    fn text(&mut self, at: &str, text: String) {
        self.0.push(Piece {
            at: at.into(),
            what: What::Text(text.into_bytes()),
        });
    }

    /// Shows a path of the host, where it exists; a link that stays within what is shown stays a link.
    fn look(&mut self, path: &Path) -> Result<(), String> {
        match fs::read_link(path) {
            Ok(target) if stays_within(path, &target) => {
                self.0.push(Piece {
                    at: relative(path),
                    what: What::Link(target),
                });
                Ok(())
            }
            _ if path.exists() => self.tree(path, path, Restrictions::LOOK),
            _ => Ok(()),
        }
    }

    fn tree(&mut self, source: &Path, at: &Path, restrictions: Restrictions) -> Result<(), String> {
        let opened = copy_tree(source).and_then(|tree| {
            restrict_tree(&tree, restrictions)?;
            let kind = SFlag::from_bits_truncate(fstat(&tree)?.st_mode).intersection(SFlag::S_IFMT);
            Ok(if kind == SFlag::S_IFDIR {
                What::Folder(tree)
            } else {
                What::File(tree)
            })
        });
        let what =
            opened.map_err(|error| refusal::sentence(&format!("show {}", source.display()), &error))?;
        self.0.push(Piece {
            at: relative(at),
            what,
        });
        Ok(())
    }

    /// Builds the root as the task's user and makes it this process's own. The host's is out of reach then.
    pub(super) fn build(self) -> Result<(), String> {
        mount_new("tmpfs", "root", "mode=0755,size=16m", MsFlags::empty())
            .map_err(|error| refusal::sentence("mount the new root", &error))?;
        std::env::set_current_dir("root").map_err(|error| refusal::sentence("enter the new root", &error))?;
        for piece in self.0 {
            piece
                .place()
                .map_err(|error| refusal::sentence(&format!("make /{}", piece.at.display()), &error))?;
        }
        make_own_mounts()?;
        // Only the root itself: what is mounted in it has restrictions of its own.
        restrict_mount(Path::new("."), Restrictions::LOOK)
            .map_err(|error| refusal::sentence("make the new root read-only", &error))?;
        // The old root ends up on top of the new one, and is taken off (`pivot_root(2)`, its last example).
        nix::unistd::pivot_root(".", ".")
            .and_then(|()| umount2(".", MntFlags::MNT_DETACH))
            .map_err(|errno| refusal::sentence("change to the new root", &errno.into()))?;
        std::env::set_current_dir("/").map_err(|error| refusal::sentence("enter the new root", &error))
    }
}

impl Piece {
    fn place(&self) -> io::Result<()> {
        if let Some(parent) = self.at.parent() {
            fs::create_dir_all(parent)?;
        }
        match &self.what {
            What::Link(target) => symlink(target, &self.at),
            What::Text(text) => fs::write(&self.at, text),
            What::Folder(tree) => {
                fs::create_dir_all(&self.at)?;
                attach(tree, &self.at)
            }
            What::File(tree) => {
                if !self.at.exists() {
                    fs::write(&self.at, "")?;
                }
                attach(tree, &self.at)
            }
        }
    }
}

fn make_own_mounts() -> Result<(), String> {
    let made = |path: &str| {
        fs::create_dir_all(path).map_err(|error| refusal::sentence(&format!("make /{path}"), &error))
    };
    let mounted = |path: &str, result: io::Result<()>| {
        result.map_err(|error| refusal::sentence(&format!("mount /{path}"), &error))
    };
    for path in ["proc", "dev/pts", "dev/shm"] {
        made(path)?;
    }
    mounted("proc", mount_new("proc", "proc", "", MsFlags::MS_NOEXEC))?;
    mounted(
        "dev/shm",
        mount_new("tmpfs", "dev/shm", "mode=1777", MsFlags::MS_NOEXEC),
    )?;
    let options = "newinstance,ptmxmode=0666,mode=0620";
    match mount_new("devpts", "dev/pts", options, MsFlags::MS_NOEXEC) {
        // Before Linux 4.7 and some after it, it needs a mapped root. A task without terminals is a task.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => {}
        other => mounted("dev/pts", other)?,
    }
    for (at, target) in [
        ("dev/ptmx", "pts/ptmx"),
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, at).map_err(|error| refusal::sentence(&format!("make /{at}"), &error))?;
    }
    Ok(())
}

fn mount_new(kind: &str, at: &str, options: &str, flags: MsFlags) -> io::Result<()> {
    let mut flags = flags | MsFlags::MS_NOSUID;
    if kind != "devpts" {
        flags |= MsFlags::MS_NODEV;
    }
    mount(Some(kind), at, Some(kind), flags, Some(options)).map_err(|errno: Errno| errno.into())
}

/// `/usr`, `/bin`, `/sbin`, `/lib*`.
fn is_system(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    matches!(name, b"usr" | b"bin" | b"sbin") || name.starts_with(b"lib")
}

/// Whether a link points into `/usr`, so that it means the same inside.
fn stays_within(path: &Path, target: &Path) -> bool {
    let joined = path.parent().unwrap_or(Path::new("/")).join(target);
    let mut plain = PathBuf::new();
    for component in joined.components() {
        match component {
            std::path::Component::ParentDir => _ = plain.pop(),
            other => plain.push(other),
        }
    }
    plain.starts_with("/usr")
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_into_usr_stays_a_link_and_another_does_not() {
        let within = |path: &str, target: &str| stays_within(Path::new(path), Path::new(target));

        assert!(within("/bin", "usr/bin"));
        assert!(within("/etc/localtime", "../usr/share/zoneinfo/UTC"));
        assert!(within("/etc/localtime", "/usr/share/zoneinfo/UTC"));
        assert!(!within("/etc/localtime", "/run/zone"));
        assert!(!within("/bin", "usr/../run"));
    }
}
