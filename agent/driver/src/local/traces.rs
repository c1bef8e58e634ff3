//! Finding and ending what a task has started, where no namespace holds it together: by its control group, its
//! user, its parents, or a variable in its environment, whichever there are.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sys::process::{
    Pid, Signal, command_name, descendants, own_pid, pidfd_open, pidfd_send_signal, signal_user,
};

use super::cgroup::Cgroup;
use super::folder::{Folder, Spec};

/// The variable by which processes of a plain place are known; its value is the place's.
pub(super) const MARK: &str = "GOATHERD_PLACE";

/// How long what does not die holds up whoever ends a task.
const LONGEST_DYING: Duration = Duration::from_secs(10);
/// How often it is looked at.
const AGAIN: Duration = Duration::from_millis(5);

/// Where the processes of a place are, seen from whoever ends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kin {
    /// Everything below this process is of the place: it is a subreaper, and starts nothing else.
    Below,
    /// Anywhere.
    Elsewhere,
}

/// Kills every process of a plain place, and returns when none is left. May be repeated.
///
/// # Errors
/// When some do not die, with who they are.
pub(super) fn end(folder: &Folder, spec: &Spec, kin: Kin) -> io::Result<()> {
    let traces = Traces {
        cgroup: Cgroup::of(folder)?,
        user: spec.ids.assigned.then_some(spec.ids.uid),
        entry: spec.mark.as_ref().map(|mark| format!("{MARK}={mark}")),
        kin,
    };
    let until = Instant::now() + LONGEST_DYING;
    loop {
        traces.kill_together()?;
        let left = traces.find()?;
        if left.is_empty() {
            break;
        }
        if Instant::now() > until {
            let names = left.iter().map(|pid| {
                let name = command_name(*pid).unwrap_or_default();
                format!("{pid} ({name})")
            });
            let names: Vec<_> = names.collect();
            return Err(io::Error::other(format!(
                "processes of the task were killed and do not end: {}",
                names.join(", ")
            )));
        }
        for pid in left {
            traces.kill(pid)?;
        }
        std::thread::sleep(AGAIN);
    }
    traces.cgroup.as_ref().map_or(Ok(()), Cgroup::remove)
}

struct Traces {
    cgroup: Option<Cgroup>,
    user: Option<u32>,
    entry: Option<String>,
    kin: Kin,
}

impl Traces {
    /// What the kernel can kill in one go, so that nothing that forks is missed.
    fn kill_together(&self) -> io::Result<()> {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        self.user
            .map_or(Ok(()), |user| signal_user(user, Signal::SIGKILL))
    }

    fn find(&self) -> io::Result<Vec<Pid>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name
                .to_str()
                .and_then(|name| name.parse().ok())
                .map(Pid::from_raw)
            else {
                continue;
            };
            if pid != own_pid() && self.lead_to(pid) {
                found.push(pid);
            }
        }
        if self.kin == Kin::Below {
            let below = descendants(own_pid())?.into_iter();
            found.extend(below.filter(|pid| Status::of(*pid).is_some()));
        }
        Ok(found)
    }

    /// Whether a process that runs is of the place by itself.
    fn lead_to(&self, pid: Pid) -> bool {
        let Some(status) = Status::of(pid) else {
            return false;
        };
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        self.user == Some(status.user)
            || self
                .cgroup
                .as_ref()
                .is_some_and(|cgroup| cgroup.holds(&String::from_utf8_lossy(&read("cgroup"))))
            || self.entry.as_ref().is_some_and(|mark| {
                let environment = read("environ");
                environment
                    .split(|byte| *byte == 0)
                    .any(|entry| entry == mark.as_bytes())
            })
    }

    /// The number could be another's by now, so it is looked at again once a handle holds it.
    fn kill(&self, pid: Pid) -> io::Result<()> {
        let Ok(handle) = pidfd_open(pid) else {
            return Ok(());
        };
        let is_below = || descendants(own_pid()).is_ok_and(|below| below.contains(&pid));
        if self.lead_to(pid) || (self.kin == Kin::Below && is_below()) {
            pidfd_send_signal(handle.as_fd(), Signal::SIGKILL)?;
        }
        Ok(())
    }
}

/// What `/proc/PID/status` says of a process that runs.
struct Status {
    user: u32,
}

impl Status {
    /// None for one that has ended, collected or not.
    fn of(pid: Pid) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/status")).ok()?;
        Self::read(&String::from_utf8_lossy(&text))
    }

    fn read(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        };
        let is_ended = matches!(field("State:")?, "Z" | "X");
        // A program whose first thread has ended goes on with the others.
        let has_threads = field("Threads:").is_some_and(|number| number != "1" && number != "0");
        (!is_ended || has_threads).then_some(())?;
        Some(Self {
            user: field("Uid:")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_not_found_and_a_program_without_its_first_thread_is() {
        let user = |text: &str| Status::read(text).map(|status| status.user);

        assert_eq!(
            user("Name:\ta\nState:\tS (sleeping)\nUid:\t7\t8\t8\t8\nThreads:\t1\n"),
            Some(7)
        );
        assert_eq!(user("State:\tZ (zombie)\nUid:\t7\t7\t7\t7\nThreads:\t1\n"), None);
        assert_eq!(
            user("State:\tZ (zombie)\nUid:\t7\t7\t7\t7\nThreads:\t2\n"),
            Some(7)
        );
    }
}
