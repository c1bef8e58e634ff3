//! Who descends from whom, by `/proc`.

use std::collections::HashMap;
use std::{fs, io};

use super::Pid;

/// All processes below `ancestor`, zombies included, in no order.
///
/// A snapshot: what forks meanwhile may be missing, so whoever kills repeats it until it is empty. A process
/// whose parent ended is below whoever adopted it.
///
/// # Errors
/// Where `/proc` cannot be listed.
pub fn descendants(ancestor: Pid) -> io::Result<Vec<Pid>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        // It may have ended since.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if let Some(parent) = parent_of(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor.as_raw()];
    while let Some(pid) = open.pop() {
        // Taken out, so that a snapshot with a loop in it (a recycled number) still ends.
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(Pid::from_raw(child));
            open.push(child);
        }
    }
    Ok(found)
}

/// The short name of a process, if it is still there.
#[must_use]
pub fn command_name(pid: Pid) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The fourth field of proc_pid_stat(5). The second, the name, may hold spaces and brackets, so count from
/// its last bracket.
fn parent_of(stat: &[u8]) -> Option<i32> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_hide_the_parent() {
        assert_eq!(parent_of(b"12 (a) R 1 (b) S 77 12 12 0"), Some(77));
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let found = descendants(nix::unistd::getppid()).expect("proc is mounted");

        assert!(found.contains(&nix::unistd::getpid()));
    }
}
