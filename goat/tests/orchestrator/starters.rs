//! Programs that start the orchestrator in a place of its own.

use std::process::{Command, Stdio};

/// What makes the next program the init of a new PID namespace, if this machine allows it.
pub(crate) fn as_init() -> Option<&'static [&'static str]> {
    const STARTER: &[&str] = &[
        "/usr/bin/unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
    ];
    allowed(STARTER, "a PID namespace cannot be made here")
}

/// What gives the next program a network of its own, with nothing but loopback.
pub(crate) fn with_own_network() -> Option<&'static [&'static str]> {
    const STARTER: &[&str] = &[
        "/usr/bin/unshare",
        "--net",
        "/bin/sh",
        "-c",
        "ip link set lo up && exec \"$@\"",
        "sh",
    ];
    allowed(STARTER, "a network namespace cannot be made here")
}

/// What gives the next program mounts of its own.
pub(crate) fn with_own_mounts() -> Option<&'static [&'static str]> {
    const STARTER: &[&str] = &["/usr/bin/unshare", "--mount"];
    allowed(STARTER, "a mount namespace cannot be made here")
}

/// What gives the next program a host name of its own.
pub(crate) fn with_host_name(name: &str) -> Option<Vec<String>> {
    const STARTER: &[&str] = &["/usr/bin/unshare", "--uts"];
    let starter = allowed(STARTER, "a host name of its own cannot be had here")?;
    let naming = [
        "/bin/sh",
        "-c",
        "echo \"$0\" > /proc/sys/kernel/hostname && exec \"$@\"",
        name,
    ];
    Some(
        starter
            .iter()
            .chain(&naming)
            .map(|word| (*word).to_owned())
            .collect(),
    )
}

/// What gives the next program supplementary groups, which a machine's root may have none of. Only root can.
pub(crate) const WITH_GROUPS: &[&str] = &["/usr/bin/setpriv", "--groups=4,24"];

/// Whether this test runs as root. It says what cannot be tested otherwise.
pub(crate) fn is_root(what: &str) -> bool {
    let root = sys::process::is_root();
    if !root {
        println!("skipped: only root can {what}");
    }
    root
}

fn allowed(starter: &'static [&'static str], otherwise: &str) -> Option<&'static [&'static str]> {
    let (program, words) = starter.split_first()?;
    let allowed = Command::new(program)
        .args(words)
        .arg("/bin/true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        println!("skipped: {otherwise}");
        assert!(std::env::var_os("CI").is_none(), "{otherwise}");
    }
    allowed.then_some(starter)
}
