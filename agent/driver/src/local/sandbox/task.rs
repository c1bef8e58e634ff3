//! What the first process of the namespaces does until it is GOAT.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid};
use sys::namespace::{capabilities, inheritance};
use sys::process::{Signal, limit_processes, set_parent_death_signal};

use super::cage::Channel;
use super::root::Root;
use crate::local::folder::{Folder, Layout, Spec};
use crate::local::isolation::Kind;
use crate::local::refusal::{self, Refusal};
use crate::local::traces;
use crate::local::user::{Ids, TASK};

/// The most processes and threads that a task may have: more than a build needs, and few enough that the machine
/// stays usable when a task starts as many as it can.
const MOST_PROCESSES: u64 = 4096;
/// What a task may have on the smallest machine.
const FEWEST_PROCESSES: u64 = 512;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Prepares everything and executes GOAT. Returns only when that failed.
pub(super) fn become_goat(channel: &mut Channel, folder: &Folder, spec: &Spec) -> Result<(), Refusal> {
    let refused = |tried: &'static str| move |error| refusal::sentence(tried, &error);
    let die_with_parent =
        || set_parent_death_signal(Signal::SIGKILL).map_err(refused("set the parent-death signal"));
    die_with_parent()?;
    inheritance::reset_signals().map_err(refused("reset signals"))?;
    nix::unistd::setsid().map_err(|errno| refusal::sentence("start a session", &errno.into()))?;
    umask(Mode::from_bits_truncate(0o022));

    let processes = processes_of_a_task(spec);
    match spec.kind {
        Kind::Namespaces => enter_own_root(folder, spec)?,
        Kind::Plain => become_host_user(spec.ids)?,
    }
    inheritance::leave_session_keyring().map_err(refused("leave the session keyring"))?;
    nix::sys::prctl::set_no_new_privs()
        .map_err(|errno| refusal::sentence("give up new privileges", &errno.into()))?;
    if let Some(processes) = processes {
        limit_processes(processes).map_err(refused("limit the task's processes"))?;
    }
    if spec.kind == Kind::Namespaces {
        capabilities::drop_all().map_err(refused("drop capabilities"))?;
    }
    // The change of user cleared it.
    die_with_parent()?;
    channel.ready()?;
    let layout = folder.layout(spec.kind);
    match execute(spec, &layout) {
        Err(error) => {
            let program = layout.bin.join("orchestrator");
            Err(format!("cannot execute {}: {error}", program.display()).into())
        }
    }
}

/// Sources are opened as the driver's user, who may reach them; the root is built as the task's user, to whom it
/// belongs.
fn enter_own_root(folder: &Folder, spec: &Spec) -> Result<(), Refusal> {
    make_mounts_private()?;
    let root = Root::gather(folder, spec)?;
    become_task_user(spec.ids)?;
    root.build()?;
    nix::unistd::sethostname(&spec.name)
        .map_err(|errno| refusal::sentence("set the host name", &errno.into()))?;
    Ok(())
}

/// Becomes the user that the place has of its own, and loses with root every capability. Where it has none, the
/// task is the driver's user as it is.
fn become_host_user(ids: Ids) -> Result<(), Refusal> {
    if !ids.assigned {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    nix::unistd::setgroups(&[])
        .and_then(|()| nix::unistd::setresgid(group, group, group))
        .and_then(|()| nix::unistd::setresuid(user, user, user))
        .map_err(|errno| refusal::sentence("become the task's user", &errno.into()).into())
}

/// How many processes and threads a task may have: a sixteenth of what the machine may. The kernel derives that
/// from its memory, so it comes to 2 MiB for each.
///
/// None where the kernel would count those of other places too, and of the driver's user itself.
fn processes_of_a_task(spec: &Spec) -> Option<u64> {
    let is_counted = match spec.kind {
        Kind::Namespaces => spec.ids.assigned || counts_by_namespace(&kernel("osrelease")),
        Kind::Plain => spec.ids.assigned,
    };
    is_counted.then(share_of_processes)
}

pub(super) fn share_of_processes() -> u64 {
    let machine = kernel("threads-max").trim().parse::<u64>();
    machine.map_or(MOST_PROCESSES, |machine| {
        (machine / 16).clamp(FEWEST_PROCESSES, MOST_PROCESSES)
    })
}

fn kernel(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default()
}

/// Whether a kernel of this release counts a user's processes in each user namespace by themselves: since 5.14.
fn counts_by_namespace(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= (5, 14))
}

/// Keeps whatever is mounted from here on to this mount namespace.
pub(super) fn make_mounts_private() -> Result<(), Refusal> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(|errno| Refusal::of_namespaces("make all mounts private", &errno.into()))
}

/// Becomes the user that is mapped, keeping this namespace's capabilities: they are only lost on the way
/// from user 0 (`capabilities(7)`), which is not mapped.
pub(super) fn become_task_user(ids: Ids) -> Result<(), Refusal> {
    let (user, group) = (Uid::from_raw(TASK), Gid::from_raw(TASK));
    let changed = if ids.assigned {
        nix::unistd::setgroups(&[])
    } else {
        // An ordinary user may not leave its groups (`user_namespaces(7)`).
        Ok(())
    };
    changed
        .and_then(|()| nix::unistd::setresgid(group, group, group))
        .and_then(|()| nix::unistd::setresuid(user, user, user))
        .map_err(|errno| Refusal::of_namespaces("become the task's user", &errno.into()))
}

fn execute(spec: &Spec, layout: &Layout) -> io::Result<Infallible> {
    let nothing = File::open("/dev/null")?;
    nix::unistd::dup2_stdin(nothing)?;
    // Standard error is the place's log.
    nix::unistd::dup2_stdout(io::stderr())?;
    std::env::set_current_dir(&layout.home)?;
    inheritance::withhold_descriptors()?;
    let text = |text: Vec<u8>| CString::new(text).map_err(io::Error::other);
    let program = text(layout.bin.join("orchestrator").into_os_string().into_vec())?;
    let arguments = spec
        .arguments
        .iter()
        .map(|argument| text(argument.clone().into_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let environment = environment(spec, layout)
        .into_iter()
        .map(|(name, value)| text([name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<Result<Vec<_>, _>>()?;
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match nix::unistd::execve(&program, &arguments, &environment) {
            // The agent had the file open to write it when another of its threads forked; that child has a
            // copy of the descriptor until it executes.
            Err(Errno::ETXTBSY) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn environment(spec: &Spec, layout: &Layout) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = [("PATH", PATH), ("LANG", "C.UTF-8"), ("CI", "true")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let told = spec.environment.iter();
    environment.extend(told.map(|(name, value)| (name.into(), value.into())));
    environment.insert("CIRCLECI_GOAT_CONFIG_FILE".into(), layout.configuration().into());
    environment.insert("HOME".into(), layout.home.clone().into());
    let user = spec.user.as_deref().unwrap_or(super::root::NAME);
    environment.extend(["USER", "LOGNAME"].map(|name| (name.into(), user.into())));
    if let Some(mark) = &spec.mark {
        environment.insert("TMPDIR".into(), layout.tmp.clone().into());
        environment.insert(traces::MARK.into(), mark.into());
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_count_by_namespace_are_told_by_their_release() {
        for release in ["5.14.0-427.el9.x86_64\n", "6.1.0-30-amd64\n", "10.0"] {
            assert!(counts_by_namespace(release), "{release}");
        }
        for release in ["5.13.19-2-pve\n", "4.18.0-553.el8\n", "", "new"] {
            assert!(!counts_by_namespace(release), "{release}");
        }
    }
}
