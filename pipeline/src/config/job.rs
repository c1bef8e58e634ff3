//! One job of `jobs`.

use std::collections::BTreeMap;

use api::plan::PlannedJob;

use super::container::{self, Containers};
use super::{Job, Names, need};
use crate::check::{Checker, Fields, Schema};
use crate::diagnostic::{Code, Problem, quote};
use crate::source::Spanned;
use crate::steps;
use crate::tree::{Entry, Weight};

pub(super) const JOB: Schema = Schema {
    what: "a job",
    keys: &[
        "image",
        "docker",
        "services",
        "resource_class",
        "environment",
        "steps",
        "requires",
        "shell",
        "working_directory",
        "retry",
        "time_limit",
        "description",
    ],
    later: &[
        "branches",
        "circleci_ip_ranges",
        "context",
        "executor",
        "filters",
        "machine",
        "macos",
        "matrix",
        "parallelism",
        "parameters",
        "post-steps",
        "pre-steps",
        "resources",
        "type",
    ],
};

/// Reads a job. What is wrong with it is reported and left out: its name still counts, so that a mistake in
/// one job is not a second one in those that require it.
pub(super) fn read(entry: &Entry, names: &Names<'_>, checker: &mut Checker<'_>) -> Job {
    let name = Spanned {
        value: entry.key.to_string(),
        span: entry.key_span,
    };
    let mut job = Job {
        planned: empty(&name.value),
        name,
        needs: Vec::new(),
        weight: Weight::default(),
    };
    if entry.value.is_nothing() {
        let message = format!("the job {} is empty", quote(&entry.key));
        checker.report(Problem::error(Code::Empty, entry.key_span, message).suggest("give it `steps:`"));
        return job;
    }
    let Some(fields) = checker.fields(&entry.value, &JOB) else {
        return job;
    };
    job.weight = entry.value.weight;
    fill(&mut job.planned, &fields, checker);
    if let Some(node) = fields.get("requires") {
        job.needs = need::read(node, checker);
    }
    match fields.entry("steps") {
        Some(steps) => job.planned.steps = steps::read(steps, names, checker),
        None if fields.lacks("steps") => {
            let what = format!("the job {}", quote(&entry.key));
            checker.missing(
                entry.key_span,
                &what,
                "steps",
                "add `steps:` with at least one step",
            );
        }
        None => {}
    }
    job
}

fn empty(name: &str) -> PlannedJob {
    PlannedJob {
        name: name.to_owned(),
        image: None,
        services: Vec::new(),
        resource_class: None,
        environment: BTreeMap::new(),
        steps: Vec::new(),
        needs: Vec::new(),
        shell: None,
        working_directory: None,
        retry_infra: false,
        time_limit: None,
    }
}

fn fill(job: &mut PlannedJob, fields: &Fields<'_>, checker: &mut Checker<'_>) {
    let Containers {
        image,
        services,
        environment,
    } = container::read(fields, checker);
    job.image = image;
    job.services = services;
    job.environment = environment;
    if let Some(node) = fields.get("environment") {
        // The image's variables are set first, so that the job's win.
        job.environment.extend(checker.environment(node));
    }
    let mut line = |key: &str| {
        let node = fields.get(key)?;
        checker.line(node, &format!("`{key}`")).map(|text| text.value)
    };
    job.shell = line("shell");
    job.working_directory = line("working_directory");
    job.resource_class = line("resource_class");
    if let Some(node) = fields.get("description") {
        checker.text(node, "`description`");
    }
    if let Some(node) = fields.get("retry") {
        job.retry_infra = checker.choice(node, "`retry`", &[("infra", ())]).is_some();
    }
    if let Some(node) = fields.get("time_limit") {
        job.time_limit = checker.duration(node, "`time_limit`");
    }
}
