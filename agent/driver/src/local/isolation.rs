//! What a place is made of: namespaces, or, where these are refused, processes of this host as they are; and
//! what is said about it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cgroup;
use super::refusal::Refusal;
use super::user::{self, Users};
use super::{LocalSettings, checks, unusable};
use crate::DriverError;

/// What tasks may be kept apart with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Namespaces, or nothing is run.
    #[default]
    Namespaces,
    /// No namespaces, also where there could be.
    Plain,
    /// Namespaces, and none where this host refuses them.
    Auto,
}

/// What one place is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Namespaces of its own.
    #[default]
    Namespaces,
    /// Processes and a folder.
    Plain,
}

/// How a place comes to the binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Binaries {
    /// It has copies, which any task may execute.
    #[default]
    Copied,
    /// It shows the installed ones, read-only. A file that takes their names later is not seen by it.
    Shown,
}

/// How all places of a driver are made.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) kind: Kind,
    pub(super) binaries: Binaries,
    pub(super) users: Users,
    /// What is not promised, for whoever runs the driver and for the log of each place.
    pub(super) warning: Option<String>,
    /// The same in a few words, for each job.
    pub(super) note: Option<String>,
}

/// Decides it, by trying.
pub(super) fn decide(settings: &LocalSettings) -> Result<Making, DriverError> {
    if settings.isolation == Isolation::Plain {
        return plain(settings, "--isolation plain was asked for");
    }
    match checks::probe(settings)? {
        Ok(binaries) => Ok(Making {
            kind: Kind::Namespaces,
            binaries,
            users: Users::where_root(),
            warning: None,
            note: None,
        }),
        Err(Refusal { message, by_host }) if by_host && settings.isolation == Isolation::Auto => {
            plain(settings, &message)
        }
        Err(Refusal { message, by_host }) => Err(unusable(if by_host {
            format!(
                "{message}; or run jobs without namespaces by `--isolation plain`, if what they may reach then \
                 (docs/local-driver.md) is yours to give"
            )
        } else {
            message
        })),
    }
}

fn plain(settings: &LocalSettings, why: &str) -> Result<Making, DriverError> {
    checks::may_be_plain(&settings.place_root)?;
    let users = Users::of_plain_places(&settings.place_root);
    if users == Users::Assigned {
        checks::open_to_tasks(&settings.place_root)?;
    }
    let groups = cgroup::is_writable(&settings.place_root);
    Ok(Making {
        kind: Kind::Plain,
        binaries: Binaries::Copied,
        users,
        warning: Some(warning(why, users, groups)),
        note: Some(note(users)),
    })
}

fn note(users: Users) -> String {
    match users {
        Users::Assigned => {
            "not isolated: without namespaces the job sees this machine's files and processes, as a \
                            user of its own"
                .to_owned()
        }
        Users::Own => format!(
            "not isolated: without namespaces the job can reach all that {} can",
            user::description()
        ),
    }
}

/// Whole, and nothing else than what differs from a place in namespaces.
fn warning(why: &str, users: Users, has_groups: bool) -> String {
    let mut text = format!("jobs are not isolated here, because no namespaces are used ({why}). ");
    match users {
        Users::Assigned => text.push_str(
            "Each job is a user of its own, with the host's file system, /tmp and devices: it can read what \
             everybody may read and write where everybody may write, and what it leaves there stays. It sees the \
             command lines of all processes. It ends with all that it started, because all of it is that user's.",
        ),
        Users::Own => {
            let user = user::description();
            text.push_str(&format!(
                "Jobs are {user}: they can read, change and remove all that {user} can, credentials, places of \
                 other jobs and goatherd's own data included, and can signal, stop and trace all processes of \
                 {user}. What they leave outside of their own folders stays. "
            ));
            if user::is_root() {
                text.push_str(
                    "That is root, and nothing on this machine is safe from it, the tokens of goatherd's processes \
                     included. ",
                );
            } else {
                text.push_str("The memory of goatherd's own processes, with their tokens, stays closed to them. ");
            }
            text.push_str(if has_groups {
                "What a job started is killed with it, found by its control group, which it could leave only on \
                 purpose."
            } else {
                "What a job started is killed with it, found by its parents and by the variable GOATHERD_PLACE in its \
                 environment; a process that clears its environment can outlive the job if goatherd's processes \
                 around it are killed. The number of processes is not limited."
            });
        }
    }
    text
}

/// The variable by which a plain place's processes are known.
pub(super) fn mark(place: &Path) -> String {
    place.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_the_reason_the_user_and_what_holds_the_processes() {
        let own = warning("no userns", Users::Own, false);
        let grouped = warning("no userns", Users::Own, true);
        let assigned = warning("no userns", Users::Assigned, false);

        assert!(
            own.contains("(no userns)") && own.contains(&user::description()),
            "{own}"
        );
        assert!(own.contains("GOATHERD_PLACE") && !grouped.contains("GOATHERD_PLACE"));
        assert!(grouped.contains("control group"), "{grouped}");
        assert!(assigned.contains("a user of its own"), "{assigned}");
    }
}
