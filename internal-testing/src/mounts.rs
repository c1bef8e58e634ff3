//! Mount namespaces for tests: what is mounted in one goes with it.
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

use std::process::{Command, Stdio};

/// `unshare` with a mount namespace of its own, as root: a user who is not becomes it in a user namespace, if that
/// is allowed. The program and its arguments are to be added. None where it cannot be had, which is said.
///
/// # Panics
/// In CI, where it cannot be had.
#[must_use]
pub fn unshared() -> Option<Command> {
    let mut command = Command::new("/usr/bin/unshare");
    if !sys::process::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--"]);
    let allowed = Command::new(command.get_program())
        .args(command.get_args())
        .arg("/bin/true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        println!("skipped: a mount namespace cannot be made here");
        assert!(
            std::env::var_os("CI").is_none(),
            "a mount namespace cannot be made here"
        );
    }
    allowed.then_some(command)
}
