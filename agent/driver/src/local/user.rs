//! Who a task is, as the host sees it.
//!
//! In namespaces every task is user and group [`TASK`]. Outside, an ordinary user's tasks are that user; root's are
//! each a user and group of a range that nobody else uses, so that one task's files and processes are not
//! another's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::lock::Lock;

/// The task's user and group inside.
pub(super) const TASK: u32 = 1000;

/// Above every range that `systemd`'s and the distributions' tables of uids give away.
const FIRST: u32 = 1_900_000_000;
/// How many ids one place root uses.
const BLOCK: u32 = 1024;
/// How many blocks there are: `FIRST + BLOCKS * BLOCK` stays below 2^31, which old programs cannot count to.
const BLOCKS: u32 = 65_536;

/// A user and a group of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether they are the place's alone, and not those of the driver's user.
    pub(super) assigned: bool,
}

impl Ids {
    /// This process's own.
    pub(super) fn own() -> Self {
        Self {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            assigned: false,
        }
    }
}

/// Whose users tasks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    /// Each is one of its own.
    Assigned,
    /// All are the driver's.
    Own,
}

impl Users {
    /// Of root's tasks each is one of its own.
    pub(super) fn where_root() -> Self {
        if is_root() { Self::Assigned } else { Self::Own }
    }

    /// The same for tasks without namespaces, where root may do what that needs: in a container it may lack the
    /// capabilities, or the other users.
    pub(super) fn of_plain_places(root: &Path) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if is_root() && may_have_others(&status) && example(root).is_ok() {
            Self::Assigned
        } else {
            Self::Own
        }
    }
}

/// Whether a process may give files to other users, become them, end what they run and remove what they leave:
/// `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_KILL`, `CAP_SETGID` and `CAP_SETUID` (`capabilities(7)`).
fn may_have_others(status: &str) -> bool {
    let needed: u64 = [0, 1, 3, 5, 6, 7].iter().map(|number| 1 << number).sum();
    let mut lines = status.lines();
    let set = lines.find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & needed == needed)
}

/// Whether the driver's user is root.
pub(super) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The driver's user, for people.
pub(super) fn description() -> String {
    own_name().map_or_else(
        || format!("user {}", nix::unistd::geteuid()),
        |name| format!("user `{name}`"),
    )
}

/// The name of the driver's user, where it has one.
pub(super) fn own_name() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.name)
}

/// Chooses the ids for a new place of `root` and makes its home folder, whose owner is what says that they
/// are taken.
pub(super) fn choose(root: &Path, home: &Path, users: Users) -> io::Result<Ids> {
    if users == Users::Own {
        fs::create_dir(home)?;
        return Ok(Ids::own());
    }
    let _only_one_chooses = Lock::take(&root.join(".lock"))?;
    let taken = taken(root)?;
    let ids = candidate(root, &taken)?;
    fs::create_dir(home)?;
    chown(home, Some(ids.uid), Some(ids.gid))?;
    Ok(ids)
}

/// Some ids that a place of `root` may use, for a look whether that works here.
pub(super) fn example(root: &Path) -> io::Result<Ids> {
    if is_root() {
        candidate(root, &BTreeSet::new())
    } else {
        Ok(Ids::own())
    }
}

fn candidate(root: &Path, taken: &BTreeSet<u32>) -> io::Result<Ids> {
    let mapped = |name: &str| Ok::<_, io::Error>(mapped(&fs::read_to_string(name)?));
    let (users, groups) = (mapped("/proc/self/uid_map")?, mapped("/proc/self/gid_map")?);
    let foreign = foreign();
    ranges(root, &users)
        .into_iter()
        .flatten()
        .find(|id| {
            let is_mapped = |ranges: &[Range<u32>]| ranges.iter().any(|range| range.contains(id));
            is_mapped(&users)
                && is_mapped(&groups)
                && !taken.contains(id)
                && !foreign.iter().any(|range| range.contains(id))
        })
        .map(|id| Ids {
            uid: id,
            gid: id,
            assigned: true,
        })
        .ok_or_else(|| io::Error::other(no_user(&users, &groups)))
}

/// Why there is none, and what to do.
fn no_user(users: &[Range<u32>], groups: &[Range<u32>]) -> String {
    let count = |ranges: &[Range<u32>]| {
        ranges
            .iter()
            .map(|range| u64::from(range.end - range.start))
            .sum::<u64>()
    };
    let (users, groups) = (count(users), count(groups));
    if users.min(groups) > u64::from(BLOCK) {
        return "no unused user id is left for it".to_owned();
    }
    format!(
        "this root is that of a user namespace with {users} user(s) and {groups} group(s) (/proc/self/uid_map, \
         gid_map), and none of them is free: map more into it (newuidmap, /etc/subuid and /etc/subgid), or run \
         goatherd outside of it"
    )
}

/// Where to look: the root's own block; in a container whose users are few, the upper end of those.
fn ranges(root: &Path, users: &[Range<u32>]) -> [Range<u32>; 2] {
    let block = root
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
        % BLOCKS;
    let first = FIRST + block * BLOCK;
    // 65534 and 65535 mean nobody and nothing.
    let end = users.iter().map(|range| range.end).max().unwrap_or(0).min(65_534);
    [first..first + BLOCK, end.saturating_sub(BLOCK).max(TASK + 1)..end]
}

/// The ids of the places that exist.
fn taken(root: &Path) -> io::Result<BTreeSet<u32>> {
    let mut taken = BTreeSet::new();
    for place in fs::read_dir(root)? {
        match fs::symlink_metadata(place?.path().join("home")) {
            Ok(home) => _ = taken.insert(home.uid()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// The ids that this host's files give to somebody.
fn foreign() -> Vec<Range<u32>> {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    let mut ranges = Vec::new();
    for text in [read("/etc/passwd"), read("/etc/group")] {
        ranges.extend(text.lines().filter_map(|line| {
            let id: u32 = line.split(':').nth(2)?.parse().ok()?;
            Some(id..id.checked_add(1)?)
        }));
    }
    for text in [read("/etc/subuid"), read("/etc/subgid")] {
        ranges.extend(text.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(1).map(str::parse::<u32>);
            let (first, count) = (fields.next()?.ok()?, fields.next()?.ok()?);
            Some(first..first.saturating_add(count))
        }));
    }
    ranges
}

/// The ids that exist in this user namespace (`user_namespaces(7)`).
fn mapped(table: &str) -> Vec<Range<u32>> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u32>);
            let (first, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
            Some(first..first.saturating_add(count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_places_of_one_root_are_never_the_same_user() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let mut chosen = BTreeSet::new();

        for place in ["a.1", "b.1", "c.1"] {
            fs::create_dir(root.path().join(place)).unwrap();
            let ids = choose(
                root.path(),
                &root.path().join(place).join("home"),
                Users::Assigned,
            )
            .unwrap();
            assert!(ids.uid != 0 && ids.gid != 0 && ids.assigned);
            chosen.insert(ids.uid);
        }

        assert_eq!(chosen.len(), 3);
    }

    #[test]
    fn root_without_capabilities_has_no_users_to_give() {
        assert!(may_have_others("CapPrm:\t0\nCapEff:\t00000000a80425fb\n"));
        assert!(!may_have_others("CapEff:\t0000000000000000\n"));
        assert!(!may_have_others("CapEff:\t000001ffffffff7f\n"));
    }

    #[test]
    fn a_root_without_other_users_is_told_why_and_what_to_do() {
        let (one, all) = (mapped("0 1000 1\n"), mapped("0 0 4294967295\n"));

        let alone = no_user(&one, &one);

        assert!(
            alone.contains("1 user(s) and 1 group(s)") && alone.contains("/etc/subuid"),
            "{alone}"
        );
        assert!(no_user(&one, &all).contains("1 user(s)"));
        assert!(!no_user(&all, &all).contains("subuid"));
    }

    #[test]
    fn every_block_is_below_the_largest_signed_number() {
        assert!(i32::try_from(FIRST + BLOCKS * BLOCK).is_ok());
    }

    #[test]
    fn in_a_container_with_few_users_the_upper_ones_are_taken() {
        let users = mapped("         0     100000      65536\n");

        let [_, fallback] = ranges(Path::new("/x"), &users);

        assert_eq!(fallback, 64_510..65_534);
    }
}
