//! The machine itself: kernel, control groups, git, disk, clock, limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use tokio::process::Command;

use super::{Finding, State};
use crate::config::user_state;

const MEBIBYTE: u64 = 1024 * 1024;
/// The least that a server wants to have free, unless its configuration says otherwise.
const RESERVE: u64 = 512 * MEBIBYTE;
/// Fewer files than this are soon used up by a server.
const FEW_FILES: u64 = 4096;
/// How long a program may take that is only asked for its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kernel and the processor.
pub(super) fn system() -> Finding {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = std::env::consts::ARCH;
    let found = format!("Linux {} on {processor}, {processors} processors", kernel.trim());
    if processor == "x86_64" {
        let follows = format!("jobs at once, unless --slots says otherwise: {processors}");
        return Finding::new("system", State::Ok, found, follows);
    }
    Finding::new(
        "system",
        State::Limited,
        found,
        "Goatherd is tested on x86_64 alone",
    )
}

/// Control groups.
pub(super) fn cgroups() -> Finding {
    let name = "cgroups";
    let root = Path::new("/sys/fs/cgroup");
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else {
        return Finding::new(
            name,
            State::Limited,
            "no cgroup v2 at /sys/fs/cgroup",
            "what is told of a job's memory may be less exact",
        );
    };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let may = if access(&root.join(own), AccessFlags::W_OK).is_ok() {
        "may be divided"
    } else {
        "may not be divided"
    };
    Finding::new(
        name,
        State::Ok,
        format!(
            "cgroup v2, own group /{own} {may}, controllers: {}",
            controllers.trim()
        ),
        "a job that runs out of memory is told as such",
    )
}

/// git, for reading repositories and for serving them to jobs.
pub(super) async fn git() -> Finding {
    let name = "git";
    let Some(version) = ask_git("--version").await else {
        return Finding::new(
            name,
            State::Missing,
            "git cannot be called",
            "no repository can be read: install git",
        );
    };
    let serves = ask_git("--exec-path")
        .await
        .is_some_and(|folder| Path::new(&folder).join("git-http-backend").is_file());
    if serves {
        return Finding::new(
            name,
            State::Ok,
            version,
            "repositories can be read, and served to jobs",
        );
    }
    Finding::new(
        name,
        State::Limited,
        format!("{version}, without git-http-backend"),
        "a server cannot serve repositories to jobs: give each a `clone_url`; `run` and `--dev` cannot check out",
    )
}

async fn ask_git(argument: &str) -> Option<String> {
    let output = Command::new("git").arg(argument).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, output).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The disk that would be used.
pub(super) fn disk(data: Option<&Path>) -> Finding {
    let limited = |found: String, follows: &str| Finding::new("disk", State::Limited, found, follows);
    let wanted = match data.map_or_else(user_state, |folder| Ok(folder.to_owned())) {
        Ok(folder) => folder,
        Err(error) => return limited(error.to_string(), "say where with --data"),
    };
    let folder = existing(&std::path::absolute(&wanted).unwrap_or(wanted));
    let shown = folder.display();
    let disk = match statvfs(&folder) {
        Ok(disk) => disk,
        Err(error) => return limited(format!("{shown}: {error}"), "name another folder with --data"),
    };
    let unit = disk.fragment_size();
    let free = disk.blocks_available().saturating_mul(unit);
    let least = RESERVE.min(disk.blocks().saturating_mul(unit) / 20);
    let found = format!("{} MiB free at {shown}", free / MEBIBYTE);
    if access(&folder, AccessFlags::W_OK).is_err() {
        return limited(
            format!("{found}, which this user may not write to"),
            "name another folder with --data or --state",
        );
    }
    if free < least {
        let least = least / MEBIBYTE;
        return limited(
            found,
            &format!("a server refuses webhooks below {least} MiB: free some space"),
        );
    }
    Finding::new("disk", State::Ok, found, "")
}

/// The folder, or what of the way to it exists.
fn existing(folder: &Path) -> PathBuf {
    let mut ancestors = folder.ancestors();
    ancestors
        .find(|one| one.is_dir())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// The clock: nothing that is installed can be from the future.
pub(super) fn clock() -> Finding {
    let name = "clock";
    let installed = std::env::current_exe()
        .and_then(fs::metadata)
        .and_then(|status| status.modified());
    let behind = installed.is_ok_and(|installed| {
        installed
            .duration_since(SystemTime::now())
            .is_ok_and(|ahead| ahead > Duration::from_secs(24 * 3600))
    });
    if behind {
        return Finding::new(
            name,
            State::Limited,
            "the clock is behind the time at which this program was installed",
            "certificates may look invalid, and times are wrong: set the clock",
        );
    }
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Finding::new(name, State::Ok, "synchronised by systemd-timesyncd", "");
    }
    Finding::new(
        name,
        State::Ok,
        "plausible; nothing here says whether it is synchronised",
        "leases do not depend on it; the times that are shown do",
    )
}

/// How many files a process may have open.
pub(super) fn files() -> Finding {
    let name = "open files";
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Finding::new(name, State::Limited, "the limit cannot be read", "");
    };
    let count = |limit: u64| {
        if limit == RLIM_INFINITY {
            "none".to_owned()
        } else {
            limit.to_string()
        }
    };
    let state = if hard < FEW_FILES {
        State::Limited
    } else {
        State::Ok
    };
    let connections = hard.saturating_sub(256).clamp(16, 16_384);
    Finding::new(
        name,
        state,
        format!("soft limit {}, hard limit {}", count(soft), count(hard)),
        format!("a server raises its own to the hard one, and takes up to {connections} connections"),
    )
}
