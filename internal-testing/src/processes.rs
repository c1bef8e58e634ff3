//! The processes behind an attempt, found in `/proc`, and signals to them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::wait;

/// A process id.
pub type Pid = u32;

/// The command line of a process; empty where it is gone.
#[must_use]
pub fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim_end()
        .to_owned()
}

/// All processes now.
#[must_use]
pub fn all() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The processes whose parent is `parent`.
#[must_use]
pub fn children(parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &Pid| stat(*pid).is_some_and(|(_, of)| of == parent);
    all().into_iter().filter(is_child).collect()
}

/// Whether a process runs: it is there and no zombie.
#[must_use]
pub fn runs(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// State and parent, as in proc_pid_stat(5).
fn stat(pid: Pid) -> Option<(char, Pid)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, closing parentheses too.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The sandboxes of a place root; each is the parent of one GOAT.
#[must_use]
pub fn sandboxes(place_root: &Path) -> Vec<Pid> {
    let root = place_root.to_string_lossy().into_owned();
    let is_ours = |pid: &Pid| {
        let line = command_line(*pid);
        line.contains(" sandbox ") && line.contains(&root)
    };
    all().into_iter().filter(is_ours).collect()
}

/// The processes of one place.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The sandbox, outside the namespaces.
    pub sandbox: Pid,
    /// GOAT.
    pub goat: Pid,
    /// The task agent.
    pub task_agent: Pid,
}

/// The first place of a place root that has all three processes.
#[must_use]
pub fn place(place_root: &Path) -> Option<Place> {
    sandboxes(place_root).into_iter().find_map(|sandbox| {
        let goat = named_child(sandbox, "orchestrator")?;
        let task_agent = named_child(goat, "circleci-agent")?;
        Some(Place {
            sandbox,
            goat,
            task_agent,
        })
    })
}

fn named_child(parent: Pid, name: &str) -> Option<Pid> {
    children(parent)
        .into_iter()
        .find(|pid| command_line(*pid).contains(name))
}

/// Sends a signal, such as `KILL`.
///
/// # Panics
/// When it cannot be sent.
pub fn signal(pid: Pid, name: &str) {
    let status = Command::new("/bin/kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .expect("/bin/kill runs");
    assert!(status.success(), "could not send {name} to {pid}");
}

/// Kills a process, and waits until it is gone. One that is gone already is fine.
pub fn kill(pid: Pid) {
    // A failure means that it is gone, which is what is wanted.
    Command::new("/bin/kill")
        .args(["-s", "KILL", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .ok();
    wait::until("a killed process to be gone", Duration::from_secs(10), || {
        (!runs(pid)).then_some(())
    });
}
