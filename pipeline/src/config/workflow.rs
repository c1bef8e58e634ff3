//! `workflows`: which jobs run, and what they need there.

use super::{Names, Workflow, WorkflowJob, job_name, need};
use crate::check::{Checker, Fields, Others, Schema};
use crate::diagnostic::{Code, Problem, quote};
use crate::source::Spanned;
use crate::tree::{Entry, Kind, Node};

pub(super) const WORKFLOW: Schema = Schema {
    what: "a workflow",
    keys: &["jobs"],
    later: &["max_auto_reruns", "triggers", "unless", "when"],
};
pub(super) const WORKFLOW_JOB: Schema = Schema {
    what: "a workflow's job",
    keys: &["requires", "name"],
    later: &[
        "context",
        "filters",
        "matrix",
        "max_auto_reruns",
        "override-with",
        "post-steps",
        "pre-steps",
        "serial-group",
        "type",
    ],
};

/// Reads `workflows`.
pub(super) fn read(entry: &Entry, names: &Names<'_>, checker: &mut Checker<'_>) -> Vec<Workflow> {
    let entries = match checker.mapping(&entry.value, "`workflows`") {
        Some(entries) => entries,
        None => return Vec::new(),
    };
    // CircleCI's version 2 wanted a version here.
    let is_version = |entry: &&Entry| &*entry.key == "version" && entry.value.text().is_some();
    let named = || entries.iter().filter(|entry| !is_version(entry));
    if named().next().is_none() {
        checker.report(
            Problem::error(
                Code::Empty,
                entry.key_span,
                "`workflows` names no workflow, so nothing would run",
            )
            .suggest("remove `workflows` to run all jobs, or add one: `main: {jobs: [NAME]}`"),
        );
    }
    named()
        .map(|entry| read_workflow(entry, names, checker))
        .collect()
}

fn read_workflow(entry: &Entry, names: &Names<'_>, checker: &mut Checker<'_>) -> Workflow {
    let mut workflow = Workflow {
        name: entry.key.to_string(),
        jobs: Vec::new(),
        open: false,
    };
    let Some(fields) = checker.fields(&entry.value, &WORKFLOW) else {
        return workflow;
    };
    let hint = "list the jobs that it runs: `jobs: [build, test]`";
    let Some(jobs) = fields.entry("jobs") else {
        if fields.lacks("jobs") {
            let what = format!("the workflow {}", quote(&entry.key));
            checker.missing(entry.key_span, &what, "jobs", hint);
        }
        return workflow;
    };
    let Some(items) = checker.list(&jobs.value, "a workflow's `jobs`") else {
        return workflow;
    };
    if items.is_empty() {
        let message = format!("the workflow {} runs no job", quote(&entry.key));
        checker.report(Problem::error(Code::Empty, jobs.key_span, message).suggest(hint));
    }
    for item in items {
        read_item(item, &mut workflow, names, checker);
    }
    workflow
}

fn read_item(item: &Node, workflow: &mut Workflow, names: &Names<'_>, checker: &mut Checker<'_>) {
    let Kind::Mapping(entries) = &item.kind else {
        if let Some(job) = checker.full_text(item, "a workflow's job") {
            let refused = refuse_orb(&job, names, checker);
            workflow.jobs.push(WorkflowJob {
                job,
                name: None,
                needs: Vec::new(),
                refused,
            });
        }
        return;
    };
    if entries.len() != 1 {
        let message = format!(
            "an entry of `jobs` names one job, but this has {} keys",
            entries.len()
        );
        let problem = Problem::error(Code::WrongType, item.span, message);
        checker.report(problem.suggest("indent what belongs to a job further than its name"));
    }
    for entry in entries.iter() {
        let key = &*entry.key;
        // In an entry of several keys these were most likely meant for the job beside them.
        let misplaced = WORKFLOW_JOB.keys.contains(&key) || WORKFLOW_JOB.later.contains(&key);
        if entries.len() == 1 || !misplaced {
            read_job(entry, workflow, names, checker);
        }
    }
}

/// An orb's job: reported; whether it is one.
fn refuse_orb(job: &Spanned<String>, names: &Names<'_>, checker: &mut Checker<'_>) -> bool {
    let is_one = names.is_of_orb(&job.value);
    if is_one {
        checker.not_supported(job.span, &format!("the job {} of an orb", quote(&job.value)));
    }
    is_one
}

fn read_job(entry: &Entry, workflow: &mut Workflow, names: &Names<'_>, checker: &mut Checker<'_>) {
    let mut job = WorkflowJob {
        job: Spanned {
            value: entry.key.to_string(),
            span: entry.key_span,
        },
        name: None,
        needs: Vec::new(),
        refused: false,
    };
    job.refused = refuse_orb(&job.job, names, checker);
    // A job's parameters stand here as keys. That there are none yet was reported.
    let any_key = job.refused || names.with_parameters.contains(&*entry.key);
    let others = if any_key { Others::Taken } else { Others::Unknown };
    if !entry.value.is_nothing()
        && let Some(fields) = checker.fields_and(&entry.value, &WORKFLOW_JOB, others)
    {
        fill(&mut job, workflow, &fields, checker);
    }
    workflow.jobs.push(job);
}

fn fill(job: &mut WorkflowJob, workflow: &mut Workflow, fields: &Fields<'_>, checker: &mut Checker<'_>) {
    // An approval has no definition; a matrix, an alias or an orb's job goes by names that are not known here.
    workflow.open |= fields.get("matrix").is_some() || (job.refused && fields.get("name").is_some());
    job.refused |= fields.get("type").is_some();
    if let Some(node) = fields.get("requires") {
        job.needs = need::read(node, checker);
    }
    if let Some(node) = fields.get("name") {
        job.name = checker.line(node, "`name`");
    }
    if let Some(name) = &job.name {
        job_name(&name.value, name.span, checker);
    }
}
