//! Which user runs the task agent.

use sys::process::UserIds;

/// A user, as far as it could be found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// The ids to change to; none: the process's own already.
    pub(crate) ids: Option<UserIds>,
    /// The home folder; none: as it is.
    pub(crate) home: Option<String>,
}

/// A user that does not exist, although this process could become any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("user: unknown user {0}")]
pub(crate) struct UnknownUser(String);

/// Who this process is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) ids: UserIds,
    pub(crate) is_root: bool,
}

/// Finds `user`: a name, or a number, with a numeric group after a colon or without. A number needs no entry in
/// `passwd`; without one its group is the same number, and its home `/`.
///
/// # Errors
/// An unknown name while this process is root: running on as root would be worse than not running. Otherwise
/// an unknown name means the process's own user.
pub(crate) fn find(user: &str, passwd: &str, own: Own) -> Result<Identity, UnknownUser> {
    if user.is_empty() {
        return Ok(Identity::default());
    }
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let entries = || passwd.lines().filter_map(Entry::parse);
    let number = id(name);
    let by_name = entries().find(|entry| entry.name == name);
    let known = by_name.or_else(|| entries().find(|entry| Some(entry.uid) == number));
    let given = group
        .map(|group| id(group).ok_or_else(|| UnknownUser(user.to_owned())))
        .transpose();
    let found = match (known, number, given) {
        (Some(entry), _, Ok(group)) => Some((entry.uid, group.unwrap_or(entry.gid), entry.home)),
        (None, Some(uid), Ok(group)) => Some((uid, group.unwrap_or(uid), "/")),
        _ => None,
    };
    let Some((uid, gid, home)) = found else {
        if own.is_root {
            return Err(UnknownUser(user.to_owned()));
        }
        tracing::warn!(
            user,
            "there is no such user, so the task agent runs as this process's own"
        );
        return Ok(Identity::default());
    };
    let ids = UserIds { uid, gid };
    let already = !own.is_root && ids == own.ids;
    Ok(Identity {
        ids: (!already).then_some(ids),
        home: Some(home.to_owned()),
    })
}

/// A number that a user or group can have: the highest one means "as it is" to setresuid(2), which would leave root
/// root.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

/// A line of passwd(5).
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = id(fields.nth(1)?)?;
        let gid = id(fields.next()?)?;
        let home = fields.nth(1)?;
        Some(Self { name, uid, gid, home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken line\nbuilder:x:1000:1001::/home/builder:/bin/sh\n";
    const ROOT: Own = Own {
        ids: UserIds { uid: 0, gid: 0 },
        is_root: true,
    };
    const BUILDER: Own = Own {
        ids: UserIds { uid: 1000, gid: 1001 },
        is_root: false,
    };

    fn identity(uid: u32, gid: u32, home: &str) -> Identity {
        Identity {
            ids: Some(UserIds { uid, gid }),
            home: Some(home.to_owned()),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        for (user, expected) in [
            ("", Identity::default()),
            ("builder", identity(1000, 1001, "/home/builder")),
            ("builder:7", identity(1000, 7, "/home/builder")),
            ("1000", identity(1000, 1001, "/home/builder")),
            ("4711", identity(4711, 4711, "/")),
            ("4711:12", identity(4711, 12, "/")),
            ("root", identity(0, 0, "/root")),
        ] {
            assert_eq!(find(user, PASSWD, ROOT), Ok(expected), "{user}");
        }
    }

    #[test]
    fn root_refuses_an_unknown_user_and_others_carry_on() {
        for user in [
            "nobody-here",
            "builder:staff",
            "-1",
            "4294967296",
            // As it is, to setresuid(2).
            "4294967295",
            "builder:4294967295",
        ] {
            assert_eq!(find(user, PASSWD, ROOT), Err(UnknownUser(user.to_owned())));
            assert_eq!(find(user, PASSWD, BUILDER), Ok(Identity::default()));
        }
    }

    #[test]
    fn an_entry_that_would_leave_root_root_is_none() {
        let passwd = "odd:x:4294967295:1::/:/bin/sh\neven:x:1:4294967295::/:/bin/sh\n";

        for user in ["odd", "even"] {
            assert_eq!(find(user, passwd, ROOT), Err(UnknownUser(user.to_owned())));
        }
    }

    #[test]
    fn becoming_who_one_is_already_needs_no_privilege() {
        let found = find("builder", PASSWD, BUILDER).expect("it is there");

        assert_eq!(
            found,
            Identity {
                ids: None,
                home: Some("/home/builder".to_owned())
            }
        );
    }
}
