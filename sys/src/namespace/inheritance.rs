//! What a program inherits from the one that starts it: descriptors, session, signals, keys.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::checked;

/// Lets the program that `command` starts inherit `descriptors`, under the numbers that they have here, and
/// puts it into a session of its own, so that no terminal reaches it. Programs that other threads start at
/// the same time do not inherit them.
pub fn detach_with(command: &mut Command, descriptors: Vec<OwnedFd>) {
    // SAFETY: between fork and exec the closure only calls `setsid` and `fcntl`, which are
    // async-signal-safe, and reads a vector that was filled before; an error is made without allocating.
    unsafe {
        command.pre_exec(move || {
            checked(libc::c_long::from(libc::setsid()))?;
            for descriptor in &descriptors {
                checked(libc::c_long::from(libc::fcntl(
                    descriptor.as_raw_fd(),
                    libc::F_SETFD,
                    0,
                )))?;
            }
            Ok(())
        });
    }
}

/// Takes over a descriptor that this program inherited under `number`: a new descriptor of the same open
/// file, which programs that this one starts do not inherit.
///
/// # Errors
/// When no such descriptor is open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: `fcntl` with F_DUPFD_CLOEXEC takes integers; a number that is not open is EBADF.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    checked(libc::c_long::from(copy))?;
    // SAFETY: the call above made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Keeps every descriptor but the three standard ones from the program that this process becomes.
///
/// # Errors
/// When the system refuses.
pub fn withhold_descriptors() -> io::Result<()> {
    let (first, last): (libc::c_long, libc::c_long) = (3, libc::c_long::from(i32::MAX));
    let flags = libc::c_long::from(libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: integers; descriptors are only marked, none is closed here.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Gives every signal its default action and blocks none, as a program expects it.
///
/// # Errors
/// When the system refuses.
pub fn reset_signals() -> io::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action needs no handler. Numbers that cannot be set are refused with EINVAL.
        let _ = unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    Ok(nix::sys::signal::SigSet::empty().thread_set_mask()?)
}

/// Leaves the session keyring of whoever started this process for a new, empty one. A kernel without
/// keyrings has nothing to leave.
///
/// # Errors
/// When the system refuses.
pub fn leave_session_keyring() -> io::Result<()> {
    // KEYCTL_JOIN_SESSION_KEYRING with no name.
    let (operation, name): (libc::c_long, libc::c_long) = (1, 0);
    // SAFETY: integers, and a null name.
    match checked(unsafe { libc::syscall(libc::SYS_keyctl, operation, name) }) {
        Ok(_) => Ok(()),
        // EPERM, EACCES: a seccomp filter that hides keyrings altogether.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EDQUOT)
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::Stdio;

    use super::*;

    fn pipe() -> (OwnedFd, File) {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        (reader, File::from(writer))
    }

    #[test]
    fn a_program_inherits_what_it_is_given_in_a_session_of_its_own() {
        let (reader, mut writer) = pipe();
        let (hidden, _kept) = pipe();
        let script = format!(
            "cat <&{}; test ! -e /proc/self/fd/{}; echo $?; cut -d' ' -f1,6 /proc/$$/stat",
            reader.as_raw_fd(),
            hidden.as_raw_fd()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdout(Stdio::piped());
        detach_with(&mut command, vec![reader]);

        let child = command.spawn().unwrap();
        drop(command);
        let pid = child.id();
        writer.write_all(b"given\n").unwrap();
        drop(writer);

        let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(output, format!("given\n0\n{pid} {pid}\n"));
    }

    #[test]
    fn an_adopted_descriptor_is_the_same_open_file() {
        let (reader, mut writer) = pipe();

        let mut adopted = File::from(adopt(reader.as_raw_fd()).unwrap());

        drop(reader);
        writer.write_all(b"x").unwrap();
        drop(writer);
        let mut read = String::new();
        adopted.read_to_string(&mut read).unwrap();
        assert_eq!(read, "x");
        assert!(adopt(i32::MAX).is_err());
    }
}
