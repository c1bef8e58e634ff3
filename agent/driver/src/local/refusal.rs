//! Says in one sentence why a host does not let a sandbox be made, and what to do about it.

use std::fmt;
use std::fs;
use std::io;

use nix::libc;

/// Why a sandbox could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In a sentence.
    pub(super) message: String,
    /// Whether this host, or what is around this process, does not let it have namespaces or use them: trying
    /// again will not help, and a task may still run without them.
    pub(super) by_host: bool,
}

impl Refusal {
    /// Of something that makes or uses namespaces.
    pub(super) fn of_namespaces(tried: &str, error: &io::Error) -> Self {
        let number = error.raw_os_error();
        Self {
            message: sentence(tried, error),
            by_host: matches!(
                number,
                Some(libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS | libc::ENOSYS)
            ),
        }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self {
            message,
            by_host: false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What was tried, the system's answer, and the likely reason.
pub(super) fn sentence(tried: &str, error: &io::Error) -> String {
    match reason(error) {
        Some(reason) => format!("cannot {tried}: {error}; {reason}"),
        None => format!("cannot {tried}: {error}"),
    }
}

fn reason(error: &io::Error) -> Option<&'static str> {
    let setting = |name: &str| fs::read_to_string(name).ok().map(|text| text.trim().to_owned());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match error.raw_os_error()? {
        libc::ENOSPC | libc::EUSERS => {
            Some("the limit of user namespaces is reached: raise the sysctl user.max_user_namespaces")
        }
        libc::ENOSYS => Some("Linux 5.12 or newer is needed, and no filter that hides its calls"),
        libc::EPERM | libc::EACCES => {
            if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
                Some(
                    "the sysctl kernel.unprivileged_userns_clone=0 reserves user namespaces for root: set it to 1, \
                     or run as root",
                )
            } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref()
                == Some("1")
            {
                Some(
                    "AppArmor restricts user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=1): give \
                     goatherd an AppArmor profile with `userns,`, set the sysctl to 0, or run as root",
                )
            } else if status.lines().any(|line| line == "Seccomp:\t2") {
                Some(
                    "a seccomp filter or a container around goatherd refuses namespaces and mounts: run it outside, \
                     or allow them there",
                )
            } else {
                Some("this host, or the container around goatherd, does not allow namespaces and mounts")
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_no_to_namespaces_is_one_by_the_host() {
        let by_host = |number| {
            let error = io::Error::from_raw_os_error(number);
            Refusal::of_namespaces("make namespaces", &error).by_host
        };

        assert!(by_host(libc::EPERM) && by_host(libc::EACCES) && by_host(libc::ENOSPC));
        assert!(!by_host(libc::ENOMEM) && !by_host(libc::EAGAIN) && !by_host(libc::EIO));
    }

    #[test]
    fn a_refusal_names_what_to_change() {
        let full = sentence("make namespaces", &io::Error::from_raw_os_error(libc::ENOSPC));
        let other = sentence("read a file", &io::Error::from_raw_os_error(libc::EIO));

        assert!(full.contains("user.max_user_namespaces"), "{full}");
        assert_eq!(other, "cannot read a file: I/O error (os error 5)");
    }
}
