//! Says in one sentence why a host does not let a sandbox be made, and what to do about it.

use std::fmt;
use std::fs;
use std::io;

use nix::libc;

/// What a sandbox is told to have tried where that alone leads to a reason.
pub(super) const PROC: &str = "mount /proc";
/// The same.
pub(super) const MAP: &str = "map the task's user";

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

impl Refusal {
    /// Where this machine, or the container around this process, has no user for a task.
    pub(super) fn of_users(error: &io::Error) -> Self {
        Self {
            message: format!("cannot make a job a user of its own: {error}"),
            by_host: true,
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
    let reason = error
        .raw_os_error()
        .and_then(|number| Circumstances::here().reason(tried, number));
    match reason {
        Some(reason) => format!("cannot {tried}: {error}; {reason}"),
        None => format!("cannot {tried}: {error}"),
    }
}

/// What of this machine, and of what is around this process, explains a refusal.
#[derive(Debug, Default)]
struct Circumstances {
    /// `user.max_user_namespaces`.
    most_namespaces: Option<String>,
    /// `kernel.unprivileged_userns_clone`, which Debian has.
    clone: Option<String>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu has.
    apparmor: Option<String>,
    /// The AppArmor profile that confines this process.
    profile: Option<String>,
    /// `/proc/self/status`.
    status: String,
    /// Whether something is mounted below `/proc`.
    proc_is_covered: bool,
}

impl Circumstances {
    fn here() -> Self {
        let read = |name: &str| fs::read_to_string(name).ok().map(|text| text.trim().to_owned());
        let setting = |name: &str| read(&format!("/proc/sys/{name}"));
        Self {
            most_namespaces: setting("user/max_user_namespaces"),
            clone: setting("kernel/unprivileged_userns_clone"),
            apparmor: setting("kernel/apparmor_restrict_unprivileged_userns"),
            profile: profile(read("/proc/self/attr/apparmor/current"))
                .or_else(|| profile(read("/proc/self/attr/current"))),
            status: read("/proc/self/status").unwrap_or_default(),
            proc_is_covered: covers_proc(&read("/proc/self/mountinfo").unwrap_or_default()),
        }
    }

    fn reason(&self, tried: &str, number: i32) -> Option<String> {
        let text = match number {
            libc::ENOSPC | libc::EUSERS if self.most_namespaces.as_deref() == Some("0") => {
                "user namespaces are turned off: raise the sysctl user.max_user_namespaces, which is 0"
            }
            libc::ENOSPC | libc::EUSERS => {
                "the limit of user namespaces is reached, here or around goatherd: raise the sysctl \
                 user.max_user_namespaces"
            }
            libc::ENOSYS => "Linux 5.12 or newer is needed, and no filter that hides its calls",
            libc::EPERM | libc::EACCES => return Some(self.denial(tried)),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The most specific first: what a container has around it refuses where the host's settings would too.
    fn denial(&self, tried: &str) -> String {
        let is_root = self.field("Uid") == Some("0");
        let is_filtered = self.field("Seccomp") == Some("2");
        let text = if tried == PROC && self.proc_is_covered {
            "parts of /proc are covered here, as engines do in containers, and then the kernel lets nobody mount \
             another: run goatherd outside, or the container with `--security-opt systempaths=unconfined` or \
             `--privileged`"
        } else if tried == MAP && is_root && !self.may_have_others() {
            "this root lacks CAP_SETUID or CAP_SETGID, without which it cannot make a job a user of its own: give \
             the container around goatherd both"
        } else if self.clone.as_deref() == Some("0") && !is_root {
            "the sysctl kernel.unprivileged_userns_clone=0 reserves user namespaces for root: set it to 1, or run \
             as root"
        } else if is_filtered {
            "a seccomp filter or a container around goatherd refuses namespaces and mounts: run it outside, or \
             allow them there"
        } else if let Some(profile) = &self.profile {
            return format!(
                "the AppArmor profile `{profile}` confines goatherd: allow it `userns` and `mount`, or run it \
                 unconfined (in a container: `--security-opt apparmor=unconfined`)"
            );
        } else if self.apparmor.as_deref() == Some("1") && !is_root {
            "AppArmor restricts user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=1): give \
             goatherd an AppArmor profile with `userns,`, set the sysctl to 0, or run as root"
        } else {
            "this host, or the container or chroot around goatherd, does not allow namespaces and mounts"
        };
        text.to_owned()
    }

    /// `CAP_SETGID` and `CAP_SETUID` (`capabilities(7)`).
    fn may_have_others(&self) -> bool {
        let set = self
            .field("CapEff")
            .and_then(|set| u64::from_str_radix(set, 16).ok());
        set.is_some_and(|set| set & 0b1100_0000 == 0b1100_0000)
    }

    /// The first word of a line of `/proc/self/status`.
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.status.lines();
        lines.find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .split_whitespace()
                .next()
        })
    }
}

/// The name of a profile that confines; `unconfined` is none.
fn profile(current: Option<String>) -> Option<String> {
    let name = current?;
    let name = name.split(" (").next().unwrap_or_default().trim_end_matches('\0');
    // Another security module's label is no profile (`user_u:role:type`, SELinux).
    let is_profile = !name.is_empty() && name != "unconfined" && !name.contains(':');
    is_profile.then(|| name.to_owned())
}

/// Whether something is mounted on a part of `/proc` (`mount_namespaces(7)`, `proc_pid_mountinfo(5)`). A mount on the
/// empty folder that is for it, that of `binfmt_misc`, covers nothing.
fn covers_proc(mounts: &str) -> bool {
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|at| at.starts_with("/proc/") && at != "/proc/sys/fs/binfmt_misc")
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

    /// As an ordinary user without anything around it.
    fn ordinary() -> Circumstances {
        Circumstances {
            status: "Uid:\t1000\t1000\nCapEff:\t0000000000000000\nSeccomp:\t0".to_owned(),
            ..Circumstances::default()
        }
    }

    fn denial(tried: &str, change: impl FnOnce(&mut Circumstances)) -> String {
        let mut circumstances = ordinary();
        change(&mut circumstances);
        circumstances.reason(tried, libc::EPERM).unwrap()
    }

    #[test]
    fn settings_that_reserve_namespaces_for_root_are_named_to_others_than_root() {
        let debian = denial("make", |here| here.clone = Some("0".to_owned()));
        let ubuntu = denial("mount a tmpfs", |here| here.apparmor = Some("1".to_owned()));
        let root = denial("make", |here| {
            here.apparmor = Some("1".to_owned());
            here.status = "Uid:\t0\t0\nSeccomp:\t2".to_owned();
        });

        assert!(debian.contains("kernel.unprivileged_userns_clone=0"), "{debian}");
        assert!(
            ubuntu.contains("kernel.apparmor_restrict_unprivileged_userns=1"),
            "{ubuntu}"
        );
        assert!(root.contains("seccomp filter"), "{root}");
    }

    #[test]
    fn a_profile_of_apparmor_is_named_and_no_other_label() {
        let own = profile(Some("docker-default (enforce)".to_owned()));

        assert_eq!(own.as_deref(), Some("docker-default"));
        for other in ["unconfined", "", "system_u:system_r:container_t:s0"] {
            assert_eq!(profile(Some(other.to_owned())), None, "{other}");
        }
        let text = denial("mount a tmpfs", |here| here.profile = own);
        assert!(text.contains("AppArmor profile `docker-default`"), "{text}");
    }

    #[test]
    fn what_covers_proc_and_what_root_lacks_is_told_where_it_matters() {
        let covered =
            |mounts: &str, tried: &str| denial(tried, |here| here.proc_is_covered = covers_proc(mounts));
        let masked = "1 0 0:1 / /proc rw - proc proc rw\n2 1 0:2 /null /proc/kcore rw - tmpfs tmpfs rw\n";
        let whole =
            "1 0 0:1 / /proc rw - proc proc rw\n2 1 0:2 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n";
        let bare_root = |status: &str| {
            denial(MAP, |here| {
                here.status = format!("Uid:\t0\t0\nSeccomp:\t2\n{status}")
            })
        };

        assert!(covered(masked, PROC).contains("parts of /proc are covered"));
        assert!(!covered(masked, "mount a tmpfs").contains("covered"));
        assert!(!covered(whole, PROC).contains("covered"));
        assert!(bare_root("CapEff:\t0000000000000000").contains("lacks CAP_SETUID"));
        assert!(bare_root("CapEff:\t00000000a80425fb").contains("seccomp filter"));
    }

    #[test]
    fn turned_off_is_another_word_than_used_up() {
        let reason = |most: &str| {
            let here = Circumstances {
                most_namespaces: Some(most.to_owned()),
                ..ordinary()
            };
            here.reason("make", libc::ENOSPC).unwrap()
        };

        assert!(reason("0").contains("turned off") && reason("100").contains("is reached"));
    }
}
