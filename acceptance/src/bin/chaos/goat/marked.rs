//! The processes of one task, whoever their parent is: those with its mark in their environment.
//!
//! GOAT itself has overwritten its environment, so it is none of them.

use std::fs;

use internal_testing::processes::{self, Pid};
use sys::process::{self, Signal};

/// The variable that marks them.
pub(super) const VARIABLE: &str = "GOATHERD_CHAOS";

/// All of them now. A zombie has no environment.
pub(super) fn all(mark: &str) -> Vec<Pid> {
    let line = format!("{VARIABLE}={mark}");
    let has_mark = |pid: &Pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == line.as_bytes())
    };
    processes::all().into_iter().filter(has_mark).collect()
}

/// What they are, for people.
pub(super) fn described(pids: &[Pid]) -> String {
    let one = |pid: &Pid| format!("{pid} {:?}", processes::command_line(*pid));
    pids.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The children of a process.
pub(super) fn children(pid: Pid) -> Vec<Pid> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// The number that it has in its own PID namespace (proc_pid_status(5), `NSpid`).
pub(super) fn number_inside(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last()?.parse().ok()
}

/// Whether it is there, and has ended, and nobody has collected it.
pub(super) fn is_zombie(pid: Pid) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Kills one, if it still has the mark: its number may be another's by now. Whether it was sent.
pub(super) fn kill(pid: Pid, mark: &str) -> bool {
    let Ok(handle) = process::pidfd_open(of(pid)) else {
        return false;
    };
    // The handle stays with the process that is looked at now.
    all(mark).contains(&pid)
        && process::pidfd_send_signal(std::os::fd::AsFd::as_fd(&handle), Signal::SIGKILL).unwrap_or(false)
}

/// The same number, as `sys` has it.
pub(super) fn of(pid: Pid) -> process::Pid {
    process::Pid::from_raw(i32::try_from(pid).expect("pids are small"))
}
