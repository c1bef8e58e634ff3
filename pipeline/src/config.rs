//! The typed config: what the tree means, with the places that later checks need.

mod container;
mod job;
mod need;
mod workflow;

use std::collections::{HashMap, HashSet};

use api::outcome::Outcome;
use api::plan::PlannedJob;

use crate::check::{Checker, Expressions, Schema};
use crate::diagnostic::{Code, Problem, quote};
use crate::source::Spanned;
use crate::tree::{Entry, Kind, Node, Tree, Weight};

const CONFIG: Schema = Schema {
    what: "a config",
    keys: &["version", "jobs", "workflows"],
    later: &["orbs", "commands", "executors", "parameters", "setup"],
};

/// Everything with fixed keys, but steps.
#[cfg(test)]
pub(crate) const SCHEMAS: &[Schema] = &[
    CONFIG,
    job::JOB,
    container::CONTAINER,
    workflow::WORKFLOW,
    workflow::WORKFLOW_JOB,
];

/// A whole config.
#[derive(Debug)]
pub(crate) struct Config {
    /// The jobs, in order; names are unique.
    pub(crate) jobs: Vec<Job>,
    /// The workflows; none where the config has no such key.
    pub(crate) workflows: Option<Vec<Workflow>>,
}

/// A job as `jobs` defines it.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name.
    pub(crate) name: Spanned<String>,
    /// All of it but what it needs.
    pub(crate) planned: PlannedJob,
    /// What it needs.
    pub(crate) needs: Vec<NeedRef>,
    /// How much of it there is.
    pub(crate) weight: Weight,
}

/// An entry of `requires`.
#[derive(Debug, Clone)]
pub(crate) struct NeedRef {
    /// The job that it names.
    pub(crate) job: Spanned<String>,
    /// The outcomes that satisfy it.
    pub(crate) outcomes: Vec<Outcome>,
}

/// A workflow.
#[derive(Debug)]
pub(crate) struct Workflow {
    /// Its name.
    pub(crate) name: String,
    /// Its jobs, in order.
    pub(crate) jobs: Vec<WorkflowJob>,
    /// Whether it makes jobs whose names are not known here, so that none is missed.
    pub(crate) open: bool,
}

/// A job as a workflow names it.
#[derive(Debug)]
pub(crate) struct WorkflowJob {
    /// The name of its definition.
    pub(crate) job: Spanned<String>,
    /// Another name for it here.
    pub(crate) name: Option<Spanned<String>>,
    /// What it needs here.
    pub(crate) needs: Vec<NeedRef>,
    /// Whether it was refused already, so that its definition is not missed too.
    pub(crate) refused: bool,
}

/// Reads a tree. None where it is too wrong to go on with; that was reported.
pub(crate) fn read(tree: &Tree, checker: &mut Checker<'_>) -> Option<Config> {
    let entries = checker.mapping(&tree.root, CONFIG.what)?;
    let value = |key: &str| entries.iter().find(|entry| &*entry.key == key);
    let is_version_2 = |entry: &Entry| matches!(entry.value.text(), Some("2" | "2.0"));
    checker.set_expressions(if value("version").is_some_and(is_version_2) {
        Expressions::Text
    } else {
        Expressions::Meant
    });
    if let Some(version) = value("version") {
        version_is_text(&version.value, checker);
    }
    let misspelt = unknown_keys(tree, entries, checker);
    let names = Names {
        commands: keys_of(value("commands")),
        orbs: keys_of(value("orbs")),
        with_parameters: with_parameters(value("jobs")),
    };
    let jobs = match value("jobs") {
        Some(entry) => read_jobs(entry, &names, checker),
        None => {
            // An orb's jobs need no `jobs` of one's own; that there are none yet was reported.
            if !misspelt.contains(&"jobs") && value("orbs").is_none() {
                let hint = "add `jobs:` with at least one job and its `steps:`";
                checker.missing(checker.source().start(), CONFIG.what, "jobs", hint);
            }
            None
        }
    };
    let workflows = value("workflows").map(|entry| workflow::read(entry, &names, checker));
    Some(Config {
        jobs: jobs?,
        workflows,
    })
}

/// Names that a config declares for what we do not have yet: to use them is no second mistake.
#[derive(Debug, Default)]
pub(crate) struct Names<'n> {
    /// Of `commands`.
    pub(crate) commands: HashSet<&'n str>,
    /// Of `orbs`.
    pub(crate) orbs: HashSet<&'n str>,
    /// Jobs with `parameters`.
    pub(crate) with_parameters: HashSet<&'n str>,
}

impl Names<'_> {
    /// Whether a name is `ORB/SOMETHING` of a declared orb.
    pub(crate) fn is_of_orb(&self, name: &str) -> bool {
        name.split_once('/')
            .is_some_and(|(orb, _)| self.orbs.contains(orb))
    }
}

fn keys_of(entry: Option<&Entry>) -> HashSet<&str> {
    match entry.map(|entry| &entry.value.kind) {
        Some(Kind::Mapping(entries)) => entries.iter().map(|entry| &*entry.key).collect(),
        _ => HashSet::new(),
    }
}

fn with_parameters(jobs: Option<&Entry>) -> HashSet<&str> {
    let Some(Kind::Mapping(jobs)) = jobs.map(|entry| &entry.value.kind) else {
        return HashSet::new();
    };
    let has = |job: &&Entry| match &job.value.kind {
        Kind::Mapping(entries) => entries.iter().any(|entry| &*entry.key == "parameters"),
        _ => false,
    };
    jobs.iter().filter(has).map(|job| &*job.key).collect()
}

fn version_is_text(node: &Node, checker: &mut Checker<'_>) {
    if node.text().is_none() {
        checker.wrong_type(
            node,
            "`version`",
            "text",
            Some("write `version: 2.1`, or leave it out"),
        );
    }
}

/// Top-level keys that are neither known, nor `x-*`, nor hold an anchor that is used elsewhere.
fn unknown_keys(tree: &Tree, entries: &[Entry], checker: &mut Checker<'_>) -> Vec<&'static str> {
    let mut starts: Vec<usize> = entries.iter().map(|entry| entry.key_span.start.offset).collect();
    starts.sort_unstable();
    let mut misspelt = Vec::new();
    for entry in entries {
        let key = &*entry.key;
        if CONFIG.keys.contains(&key) || key.starts_with("x-") {
            continue;
        }
        if CONFIG.later.contains(&key) {
            checker.not_supported(entry.key_span, &format!("{} in {}", quote(key), CONFIG.what));
            continue;
        }
        let start = entry.key_span.start.offset;
        let next = starts.partition_point(|other| *other <= start);
        let end = starts.get(next).copied().unwrap_or(usize::MAX);
        if !tree.is_stash(start, end) {
            misspelt.extend(checker.unknown_key(entry, &CONFIG));
        }
    }
    misspelt
}

fn read_jobs(entry: &Entry, names: &Names<'_>, checker: &mut Checker<'_>) -> Option<Vec<Job>> {
    let hint = "give it a name and `steps:`";
    if entry.value.is_nothing() {
        let problem = Problem::error(Code::Empty, entry.key_span, "`jobs` names no job");
        checker.report(problem.suggest(hint));
        return None;
    }
    let entries = checker.mapping(&entry.value, "`jobs`")?;
    if entries.is_empty() {
        let problem = Problem::error(Code::Empty, entry.key_span, "`jobs` names no job");
        checker.report(problem.suggest(hint));
        return None;
    }
    let mut folded = HashMap::new();
    let mut jobs = Vec::new();
    for entry in entries {
        job_name(&entry.key, entry.key_span, checker);
        if let Some(first) = folded.insert(entry.key.to_lowercase(), entry) {
            let message = format!(
                "the jobs {} and {} differ in case only",
                quote(&first.key),
                quote(&entry.key)
            );
            checker.report(
                Problem::error(Code::DuplicateJob, entry.key_span, message)
                    .suggest("rename one of them")
                    .related(first.key_span, "the other"),
            );
        }
        jobs.push(job::read(entry, names, checker));
    }
    Some(jobs)
}

/// Checks the text of a job's name.
fn job_name(name: &str, span: crate::source::Span, checker: &mut Checker<'_>) {
    const LONGEST: usize = 200;
    let problem = if name.trim().is_empty() {
        "a job's name is empty".to_owned()
    } else if name.chars().any(char::is_control) || name.trim() != name {
        format!(
            "the job's name {} has control characters, or spaces around it",
            quote(name)
        )
    } else if [".", ".."].contains(&name) {
        format!(
            "a job cannot be called {}: folders are called as jobs are",
            quote(name)
        )
    } else if name.len() > LONGEST {
        format!("the job's name is longer than {LONGEST} bytes")
    } else {
        return;
    };
    checker.report(Problem::error(Code::BadValue, span, problem));
}
