//! `goatherd doctor`: what this machine can and cannot do, and what follows for whoever wants to run jobs on it.
//!
//! It tries what it can try without leaving anything: a sandbox is made and removed, engines are asked whether
//! they are there. What no part of this version uses is named all the same, and said to be unused.

mod engines;
mod machine;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use serde::Serialize;

use crate::config::{Doctor, Places};
use crate::error::{Ending, Failure};
use crate::installed::{self, Jobs};
use crate::output::{self, json};
use crate::tools::Tools;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is there and works.
    Ok,
    /// It is there, with less than there should be, or nothing uses it.
    Limited,
    /// It is not there, or does not work.
    Missing,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    /// What is so.
    found: String,
    /// What follows for the user.
    follows: String,
}

impl Finding {
    fn new(name: &'static str, state: State, found: impl Into<String>, follows: impl Into<String>) -> Self {
        Self {
            name,
            state,
            found: found.into(),
            follows: follows.into(),
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
struct Report {
    can_run_jobs: bool,
    checks: Vec<Finding>,
}

/// Looks at everything; ends with 1 only where no job could run.
pub(crate) async fn run(arguments: &Doctor) -> Result<Ending, Failure> {
    let sandbox = sandbox(arguments).await?;
    let git = machine::git().await;
    let can_run_jobs = sandbox.state != State::Missing && git.state != State::Missing;
    let mut checks = vec![machine::system(), sandbox, machine::cgroups()];
    checks.extend(engines::all().await);
    checks.push(engines::cluster());
    checks.push(git);
    checks.push(machine::disk(arguments.data.as_deref()));
    checks.push(machine::clock());
    checks.push(machine::files());
    let report = Report { can_run_jobs, checks };
    if arguments.json {
        output::line(&json::to_line(&report));
    } else {
        text(&report).iter().for_each(|line| output::line(line));
    }
    Ok(if can_run_jobs {
        Ending::Succeeded
    } else {
        Ending::Failed
    })
}

/// Tries to make a sandbox, as the local driver does.
async fn sandbox(arguments: &Doctor) -> Result<Finding, Failure> {
    let scratch = tempfile::TempDir::with_prefix("goatherd-doctor-").map_err(anyhow::Error::new)?;
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o711)).map_err(anyhow::Error::new)?;
    let places = Places {
        place_root: None,
        ..arguments.places.clone()
    };
    let jobs = Jobs::EndWithThis;
    let tried = installed::quiet_local_driver(&places, scratch.path(), jobs, Tools::default()).await;
    let name = "sandbox";
    let warning = tried
        .as_ref()
        .ok()
        .and_then(|driver| driver.warning().map(str::to_owned));
    let finding = match (tried, warning) {
        (Ok(_), Some(warning)) => Finding::new(
            name,
            State::Limited,
            warning,
            "`run` and `server --dev` run jobs all the same, `agent` only with `--isolation plain`",
        ),
        (Ok(_), None) => Finding::new(
            name,
            State::Ok,
            "namespaces can be made",
            "jobs run in sandboxes of their own: `run`, `agent` and `server --dev` work",
        ),
        (Err(Failure::Usage(why)), _) => Finding::new(
            name,
            State::Missing,
            why,
            "no job can run: install all three programs in one folder",
        ),
        (Err(Failure::Other(error)), _) => Finding::new(
            name,
            State::Missing,
            format!("{error:#}"),
            "no job can run here; a server can",
        ),
        (Err(failure @ Failure::Replaced(_)), _) => return Err(failure),
    };
    scratch.close().map_err(anyhow::Error::new)?;
    Ok(finding)
}

fn text(report: &Report) -> Vec<String> {
    let rows: Vec<Vec<String>> = report
        .checks
        .iter()
        .map(|one| {
            vec![
                one.name.to_owned(),
                one.state.word().to_owned(),
                one.found.replace('\n', " "),
            ]
        })
        .collect();
    let mut lines = Vec::new();
    for (head, one) in output::table(&rows).into_iter().zip(&report.checks) {
        lines.push(head);
        if !one.follows.is_empty() {
            lines.push(format!("    {}", one.follows));
        }
    }
    lines.push(String::new());
    let end = if report.can_run_jobs {
        "Jobs can run on this machine."
    } else {
        "No job can run on this machine."
    };
    lines.push(end.to_owned());
    lines
}
