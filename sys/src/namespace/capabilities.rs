//! Giving up every capability.

use std::io;

use super::checked;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const VERSION: u32 = 0x2008_0522;

/// Drops every capability of the calling thread from all five sets, the bounding set included, so that no
/// program that it executes can have one again in this user namespace.
///
/// # Errors
/// When the thread may not change its bounding set (CAP_SETPCAP).
pub fn drop_all() -> io::Result<()> {
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(()) => {}
            // The kernel knows fewer.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::c_long::from(libc::PR_CAP_AMBIENT_CLEAR_ALL),
    )?;
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let sets = [Sets::default(); 2];
    // SAFETY: the kernel reads the header and, for version 3, two sets; both outlive the call.
    let returned = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    checked(returned).map(drop)
}

fn prctl(option: libc::c_int, argument: libc::c_long) -> io::Result<()> {
    let none: libc::c_long = 0;
    // SAFETY: the two options used here take integers and touch no memory.
    let returned = unsafe { libc::prctl(option, argument, none, none, none) };
    checked(libc::c_long::from(returned)).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_is_left_in_any_set() {
        // Capabilities belong to a thread, so that this one can lose them without hurting the others.
        let status = std::thread::spawn(|| {
            let dropped = drop_all();
            dropped.map(|()| fs::read_to_string("/proc/thread-self/status").unwrap())
        })
        .join()
        .unwrap();

        match status {
            Ok(status) => {
                let sets: Vec<_> = status.lines().filter(|line| line.starts_with("Cap")).collect();
                assert_eq!(sets.len(), 5);
                assert!(
                    sets.iter().all(|line| line.ends_with("\t0000000000000000")),
                    "{sets:?}"
                );
            }
            Err(error) => {
                assert!(!nix::unistd::geteuid().is_root(), "root may drop them: {error}");
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            }
        }
    }
}
