//! Whether the kernel's OOM killer was at work in this process's control group, by cgroup v2 or v1.

use std::fs;
use std::path::{Path, PathBuf};

/// Where cgroups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";

/// The files of one version. All hold a number, or lines of a name and a number.
struct Version {
    controller: &'static str,
    events: &'static str,
    limit: &'static str,
    peak: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        controller: "",
        events: "memory.events",
        limit: "memory.max",
        peak: "memory.peak",
    },
    Version {
        controller: "memory",
        events: "memory.oom_control",
        limit: "memory.limit_in_bytes",
        peak: "memory.max_usage_in_bytes",
    },
];

/// The control group, as it was when the task began.
#[derive(Debug)]
pub(crate) struct Memory {
    group: Option<Group>,
}

#[derive(Debug)]
struct Group {
    events: PathBuf,
    limit: PathBuf,
    peak: PathBuf,
    kills: u64,
}

/// What the OOM killer had to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    limit: Option<u64>,
    peak: Option<u64>,
}

impl Memory {
    /// Looks at this process's group. In a container without files of it, nothing is ever found.
    pub(crate) fn now() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::below(Path::new(MOUNTED), &membership)
    }

    fn below(mounted: &Path, membership: &str) -> Self {
        let group = VERSIONS.iter().find_map(|version| {
            let root = mounted.join(version.controller);
            // In a cgroup namespace the own group is the root; outside it is where the membership says.
            let own = membership.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let controllers = fields.next()?;
                let path = fields.next()?;
                let same = controllers
                    .split(',')
                    .any(|controller| controller == version.controller);
                same.then(|| root.join(path.trim_start_matches('/')))
            });
            own.into_iter()
                .chain([root])
                .find_map(|folder| Group::read(&folder, version))
        });
        Self { group }
    }

    /// Whether the OOM killer has killed in this group since then, and at which limit.
    pub(crate) fn killed_since(&self) -> Option<OutOfMemory> {
        let group = self.group.as_ref()?;
        (kills(&group.events)? > group.kills).then(|| OutOfMemory {
            limit: number(&group.limit),
            peak: number(&group.peak),
        })
    }
}

impl Group {
    fn read(folder: &Path, version: &Version) -> Option<Self> {
        let events = folder.join(version.events);
        let kills = kills(&events)?;
        Some(Self {
            events,
            limit: folder.join(version.limit),
            peak: folder.join(version.peak),
            kills,
        })
    }
}

fn kills(events: &Path) -> Option<u64> {
    let text = fs::read_to_string(events).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// None where there is no limit, or an older kernel tells none.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("by the kernel's OOM killer")?;
        if let Some(limit) = self.limit {
            write!(formatter, ", at a limit of {limit} bytes")?;
        }
        if let Some(peak) = self.peak {
            write!(formatter, ", the peak was {peak} bytes")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(folder: &Path, version: &Version, kills: u64) {
        fs::create_dir_all(folder).expect("it is made");
        fs::write(folder.join(version.events), format!("oom 3\noom_kill {kills}\n")).expect("it is written");
        fs::write(folder.join(version.limit), "1048576\n").expect("it is written");
        fs::write(folder.join(version.peak), "1048000\n").expect("it is written");
    }

    #[test]
    fn a_kill_since_the_beginning_is_told_with_limit_and_peak() {
        for (version, own, membership) in [
            (&VERSIONS[0], "", "0::/"),
            (&VERSIONS[0], "a/b", "0::/a/b"),
            (&VERSIONS[0], "", "0::/not/visible/here"),
            (
                &VERSIONS[1],
                "memory/a",
                "3:cpu:/x\n4:hugetlb,memory:/a\n0::/unified",
            ),
        ] {
            let mounted = tempfile::tempdir().expect("a temporary folder");
            let folder = mounted.path().join(own);
            group(&folder, version, 2);
            let memory = Memory::below(mounted.path(), membership);

            assert_eq!(memory.killed_since(), None, "{membership}");
            group(&folder, version, 3);

            let found = memory.killed_since().expect(membership);
            assert_eq!(
                found.to_string(),
                "by the kernel's OOM killer, at a limit of 1048576 bytes, the peak was 1048000 bytes"
            );
        }
    }

    #[test]
    fn without_a_control_group_nothing_is_found() {
        let mounted = tempfile::tempdir().expect("a temporary folder");

        assert_eq!(Memory::below(mounted.path(), "0::/").killed_since(), None);
    }

    /// The memory files of a hierarchy, before and after a kill.
    const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cgroup-v2");

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("it is made");
        for entry in fs::read_dir(from).expect("it is there").flatten() {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).expect("it is copied");
            }
        }
    }

    #[test]
    fn a_tree_of_cgroup_v2_is_read_as_the_kernel_writes_it() {
        let container =
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-2.scope";
        let service = "user.slice/user-1000.slice/user@1000.service/app.slice/runner.service";
        let limited =
            "by the kernel's OOM killer, at a limit of 268435456 bytes, the peak was 268435456 bytes";
        for (mounted, membership, words) in [
            // On the host, and in a namespace of its own, where the group is the root.
            ("", format!("0::/{container}"), limited),
            (container, "0::/".to_owned(), limited),
            ("", format!("0::/{service}"), "by the kernel's OOM killer"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            copy(&Path::new(RECORDED).join("before"), folder.path());
            let memory = Memory::below(&folder.path().join(mounted), &membership);
            assert_eq!(memory.killed_since(), None, "{membership}");

            copy(&Path::new(RECORDED).join("after"), folder.path());

            let found = memory.killed_since().expect(&membership);
            assert_eq!(found.to_string(), words, "{membership}");
        }
    }
}
