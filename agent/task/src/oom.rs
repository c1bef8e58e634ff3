//! Whether the kernel's OOM killer took a process of this container, as far as the container can see its own
//! control group (both versions). Where it cannot, nothing is known, and nothing is said.

use std::fs;
use std::path::{Path, PathBuf};

use api::Cause;

/// A count of processes that the kernel took, and where the limits are told.
#[derive(Debug)]
pub(crate) struct OomWatch {
    files: Option<Files>,
    before: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    events: PathBuf,
    limit: PathBuf,
    peak: PathBuf,
}

impl OomWatch {
    /// Starts to watch.
    pub(crate) fn start() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let files = candidates(&groups)
            .into_iter()
            .find(|files| kills(&files.events).is_some());
        let before = files.as_ref().and_then(|files| kills(&files.events)).unwrap_or(0);
        Self { files, before }
    }

    /// The cause, if a process was taken since the start.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let files = self.files.as_ref()?;
        (kills(&files.events)? > self.before).then(|| Cause::Oom {
            container: "job".to_owned(),
            limit: number(&files.limit),
            peak: number(&files.peak),
        })
    }
}

/// Where the files of this process's group may be, by `/proc/self/cgroup`. In a container the group's own path
/// is often not mounted, but its files are at the root of the mount.
fn candidates(groups: &str) -> Vec<Files> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let controllers = controllers.unwrap_or_default();
        let (root, events, limit, peak) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.events", "memory.max", "memory.peak")
        } else if controllers.split(',').any(|name| name == "memory") {
            (
                "/sys/fs/cgroup/memory",
                "memory.oom_control",
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
            )
        } else {
            continue;
        };
        for folder in [Path::new(root).join(path.trim_start_matches('/')), root.into()] {
            found.push(Files {
                events: folder.join(events),
                limit: folder.join(limit),
                peak: folder.join(peak),
            });
        }
    }
    found
}

fn kills(file: &Path) -> Option<u64> {
    count(&fs::read_to_string(file).ok()?)
}

fn count(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|number| number.trim().parse().ok())
}

/// A number of bytes. `max`, or the largest number of version 1, is no limit.
fn number(file: &Path) -> Option<u64> {
    let number: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (number < 1 << 62).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_found() {
        let found = candidates("9:cpu:/x\n8:memory:/docker/1\n0::/y\n");

        let events: Vec<_> = found.iter().map(|files| files.events.to_string_lossy()).collect();
        assert_eq!(
            events,
            [
                "/sys/fs/cgroup/memory/docker/1/memory.oom_control",
                "/sys/fs/cgroup/memory/memory.oom_control",
                "/sys/fs/cgroup/y/memory.events",
                "/sys/fs/cgroup/memory.events",
            ]
        );
    }

    #[test]
    fn the_count_is_read_from_either_file() {
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(
            count("low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
        assert_eq!(count("nothing"), None);
    }
}
