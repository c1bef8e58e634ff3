//! A control group for a plain place, where this process may make one below its own: it holds all that the task
//! starts together, whatever becomes of parents and environments.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::folder::Folder;

/// What the names of all groups of ours begin with.
const PREFIX: &str = "goatherd-";
const PROCESSES: &str = "cgroup.procs";

/// A group that exists, or existed.
#[derive(Debug)]
pub(super) struct Cgroup(PathBuf);

/// Whether a place of this root could have a group.
pub(super) fn is_writable(root: &Path) -> bool {
    bases().into_iter().any(|base| {
        let tried = base.join(format!("{}-{}", name(root), std::process::id()));
        let is_made = fs::create_dir(&tried).is_ok();
        let works = is_made && [&tried, &base].iter().all(|group| may_move_within(group));
        let _ = fs::remove_dir(&tried);
        works
    })
}

fn may_move_within(group: &Path) -> bool {
    access(&group.join(PROCESSES), AccessFlags::W_OK).is_ok()
}

impl Cgroup {
    /// Makes the place's group and moves a process into it. None where that is not to be had.
    pub(super) fn enter(folder: &Folder, pid: i32, most_processes: u64) -> io::Result<Option<Self>> {
        for base in bases() {
            let group = base.join(name(folder.path()));
            // Written first, so that it is found by whoever has to clear it away.
            fs::write(folder.cgroup(), group.as_os_str().as_bytes())?;
            let group = Self(group);
            if group.take(pid, most_processes).is_ok() {
                return Ok(Some(group));
            }
            group.remove()?;
        }
        match fs::remove_file(folder.cgroup()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        }
    }

    /// The group that a place has.
    pub(super) fn of(folder: &Folder) -> io::Result<Option<Self>> {
        match fs::read(folder.cgroup()) {
            Ok(path) => {
                let path = PathBuf::from(OsString::from_vec(path));
                let is_ours = path.file_name() == Some(name(folder.path()).as_ref());
                Ok(is_ours.then_some(Self(path)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn take(&self, pid: i32, most_processes: u64) -> io::Result<()> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Only where somebody lets groups below this one be limited.
        let _ = self.write("pids.max", &most_processes.to_string());
        self.write(PROCESSES, &pid.to_string())
    }

    /// Kills all in it, those that are being started included, where the kernel can (since 5.14). Elsewhere
    /// nothing new is started in it, where that can be refused.
    pub(super) fn kill(&self) {
        if self.write("cgroup.kill", "1").is_err() {
            let _ = self.write("pids.max", "0");
        }
    }

    /// Whether a process is in it or below it, by what `/proc/PID/cgroup` says.
    pub(super) fn holds(&self, groups: &str) -> bool {
        let own = self.0.file_name().unwrap_or_default().to_string_lossy();
        groups
            .lines()
            .filter_map(|line| line.splitn(3, ':').nth(2))
            .any(|path| path.split('/').any(|name| name == own))
    }

    /// Removes it and what the task made in it. Nothing runs in it any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(&self.0)
    }

    /// Never makes a file: on a kernel that does not have it there is none.
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let mut file = fs::File::options().write(true).open(self.0.join(file))?;
        file.write_all(text.as_bytes())
    }
}

fn remove(group: &Path) -> io::Result<()> {
    let inner = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in inner.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The groups that this process is in, by what is most worth: the one of version 2, in which all can be killed
/// at once; then that which counts processes.
fn bases() -> Vec<PathBuf> {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    find(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

fn find(mounts: &str, groups: &str) -> Vec<PathBuf> {
    let of = |kind: &str, controller: &str| {
        let (root, at) = mounts.lines().find_map(|line| mounted(line, kind, controller))?;
        let path = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            controllers
                .split(',')
                .any(|name| name == controller)
                .then_some(path)
        })?;
        // What is mounted may be a part, whose path begins where the mount does.
        let below = Path::new(path).strip_prefix(&root).ok()?;
        Some(at.join(below))
    };
    [of("cgroup2", ""), of("cgroup", "pids")]
        .into_iter()
        .flatten()
        .collect()
}

/// The root and the place of a mount of this kind (`proc_pid_mountinfo(5)`).
fn mounted(line: &str, kind: &str, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, system) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let mut system = system.split(' ');
    let is_it = system.next()? == kind
        && (controller.is_empty() || system.nth(1)?.split(',').any(|option| option == controller));
    is_it.then_some((place.next()?.into(), place.next()?.into()))
}

/// The same for a place whoever asks, and no other place's.
fn name(place: &Path) -> String {
    let hash = place
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{PREFIX}{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
27 25 0:24 /docker/a /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
28 25 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_own_groups_are_found_where_they_are_mounted() {
        let found = find(MOUNTS, "8:pids:/docker/a/b\n1:cpu:/\n0::/user.slice/x.scope\n");

        let expected = [
            "/sys/fs/cgroup/unified/user.slice/x.scope",
            "/sys/fs/cgroup/pids/b",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(find(MOUNTS, "8:pids:/elsewhere\n"), Vec::<PathBuf>::new());
        assert_eq!(find("", ""), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_process_in_a_group_is_told_by_the_groups_name() {
        let group = Cgroup("/sys/fs/cgroup/x/goatherd-1".into());

        assert!(group.holds("0::/x/goatherd-1\n"));
        assert!(group.holds("3:cpu:/\n0::/x/goatherd-1/inner\n"));
        assert!(!group.holds("0::/x/goatherd-11\n") && !group.holds("0::/\n"));
    }
}
