//! From the typed config to the plan: which jobs run, under which names, after which others.

use std::collections::{BTreeSet, HashMap, HashSet};

use api::Plan;
use api::plan::Need;

use crate::check::Checker;
use crate::config::{Config, Job, NeedRef, Workflow, WorkflowJob};
use crate::diagnostic::{Code, Problem, quote};
use crate::source::{Span, Spanned};
use crate::tree::Weight;

/// The most jobs of a plan.
const MOST_JOBS: usize = 1000;
/// The most needs of a plan.
const MOST_NEEDS: usize = 20_000;

/// A job as it will run.
#[derive(Debug)]
struct Instance<'c> {
    job: &'c Job,
    workflow: usize,
    /// What the config calls it there: the job's name, or another one.
    called: Spanned<String>,
    /// Whether that is a `name` of its own.
    renamed: bool,
    /// Its name in the plan.
    name: String,
    /// The workflow's entries win over the job's own for the same job.
    needs: Vec<&'c NeedRef>,
    /// What they came to, with where it was said.
    resolved: Vec<(usize, &'c NeedRef)>,
}

/// Makes the plan. None where the config has no jobs to plan; what is wrong was reported.
pub(crate) fn plan(config: &Config, checker: &mut Checker<'_>) -> Option<Plan> {
    let implicit = [all_jobs(config)];
    let workflows = match &config.workflows {
        Some(workflows) => workflows.as_slice(),
        None => &implicit,
    };
    let mut instances = instances(config, workflows, checker)?;
    name(&mut instances, checker);
    resolve(config, workflows, &mut instances, checker)?;
    unused(config, &instances, checker);
    cycles(&instances, checker);
    Some(Plan {
        jobs: instances.iter().map(|one| lower(one, &instances)).collect(),
    })
}

/// Without `workflows` every job runs.
fn all_jobs(config: &Config) -> Workflow {
    let jobs = config.jobs.iter().map(|job| WorkflowJob {
        job: job.name.clone(),
        name: None,
        needs: Vec::new(),
        refused: false,
    });
    Workflow {
        name: String::new(),
        jobs: jobs.collect(),
        open: false,
    }
}

fn instances<'c>(
    config: &'c Config,
    workflows: &'c [Workflow],
    checker: &mut Checker<'_>,
) -> Option<Vec<Instance<'c>>> {
    let by_name: HashMap<&str, &Job> = config
        .jobs
        .iter()
        .map(|job| (job.name.value.as_str(), job))
        .collect();
    let mut instances = Vec::new();
    let mut weight = Weight::default();
    for (number, workflow) in workflows.iter().enumerate() {
        for entry in &workflow.jobs {
            let Some(job) = by_name.get(entry.job.value.as_str()) else {
                if !entry.refused {
                    unknown_job(&entry.job, "", by_name.keys().copied(), checker);
                }
                continue;
            };
            weight = weight.plus(job.weight);
            if instances.len() == MOST_JOBS || weight.is_too_much() {
                let message = format!(
                    "the config comes to too much here: at most {MOST_JOBS} jobs, of {} MiB together",
                    Weight::MOST.bytes >> 20
                );
                checker.report(Problem::error(Code::TooLarge, entry.job.span, message));
                return None;
            }
            let here: HashSet<&str> = entry.needs.iter().map(|need| need.job.value.as_str()).collect();
            let own = job
                .needs
                .iter()
                .filter(|need| !here.contains(need.job.value.as_str()));
            instances.push(Instance {
                job,
                workflow: number,
                called: entry.name.clone().unwrap_or_else(|| entry.job.clone()),
                renamed: entry.name.is_some(),
                name: String::new(),
                needs: own.chain(&entry.needs).collect(),
                resolved: Vec::new(),
            });
        }
    }
    Some(instances)
}

fn unknown_job<'a>(
    name: &Spanned<String>,
    prefix: &str,
    known: impl IntoIterator<Item = &'a str>,
    checker: &mut Checker<'_>,
) {
    let message = format!("{prefix}there is no job {}", quote(&name.value));
    let mut suggestion = None;
    if checker.has_room() {
        // Sorted, so that of two names that are equally near always the same is suggested.
        let known: BTreeSet<&str> = known.into_iter().collect();
        suggestion = checker.did_you_mean(&name.value, known);
    }
    checker.report(Problem::error(Code::UnknownJob, name.span, message).suggest_if(suggestion));
}

/// Gives each instance its name. Jobs that are called the same, in one workflow or in several, get `-1`, `-2`
/// and so on, in the config's order.
fn name(instances: &mut [Instance<'_>], checker: &mut Checker<'_>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for one in instances.iter() {
        *counts.entry(one.called.value.clone()).or_default() += 1;
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for one in instances.iter_mut() {
        one.name.clone_from(&one.called.value);
        if counts.get(&one.name).is_some_and(|count| *count > 1) {
            let number = numbers.entry(one.name.clone()).or_default();
            *number += 1;
            one.name = format!("{}-{number}", one.name);
        }
    }
    let mut renamed: HashMap<(usize, &str), Span> = HashMap::new();
    let mut taken: HashMap<String, &Instance<'_>> = HashMap::new();
    for one in instances.iter() {
        let mut first = None;
        if one.renamed {
            first = renamed.insert((one.workflow, &one.called.value), one.called.span);
        }
        if let Some(other) = taken.insert(one.name.to_lowercase(), one)
            // Two definitions that differ in case only were reported where they are defined.
            && (one.renamed || other.renamed || one.name == other.name)
        {
            first = Some(other.called.span);
        }
        if let Some(first) = first {
            let message = format!("two jobs would run as {}", quote(&one.called.value));
            checker.report(
                Problem::error(Code::DuplicateJob, one.called.span, message)
                    .suggest("give one of them another `name`")
                    .related(first, "the other"),
            );
        }
    }
}

/// Finds the jobs that `requires` names: those of the same workflow that are called so, all of them where
/// there are several; else the one that got this name; else all that run the job of this name.
fn resolve(
    config: &Config,
    workflows: &[Workflow],
    instances: &mut [Instance<'_>],
    checker: &mut Checker<'_>,
) -> Option<()> {
    let defined: HashSet<&str> = config.jobs.iter().map(|job| job.name.value.as_str()).collect();
    let mut total = 0;
    let mut rest = &mut instances[..];
    let mut offset = 0;
    for (number, workflow) in workflows.iter().enumerate() {
        let (here, others) = rest.split_at_mut(rest.partition_point(|one| one.workflow == number));
        let names = names_in(here, offset);
        let refused: HashSet<&str> = workflow
            .jobs
            .iter()
            .filter(|job| job.refused)
            .map(|job| job.job.value.as_str())
            .collect();
        for one in here.iter_mut() {
            for need in std::mem::take(&mut one.needs) {
                let Some(targets) = names.get(&need.job.value) else {
                    if !workflow.open && !refused.contains(need.job.value.as_str()) {
                        not_here(
                            &defined,
                            workflow,
                            need,
                            names.keys().map(String::as_str),
                            checker,
                        );
                    }
                    continue;
                };
                total += targets.len();
                if total > MOST_NEEDS {
                    let message = format!("the plan has more than {MOST_NEEDS} needs");
                    checker.report(Problem::error(Code::TooLarge, need.job.span, message));
                    return None;
                }
                one.resolved.extend(targets.iter().map(|target| (*target, need)));
            }
        }
        offset += here.len();
        rest = others;
    }
    Some(())
}

/// The names by which the instances of one workflow are required, with their numbers in the plan.
fn names_in(instances: &[Instance<'_>], offset: usize) -> HashMap<String, Vec<usize>> {
    let mut names: HashMap<String, Vec<usize>> = HashMap::new();
    let by: [fn(&Instance<'_>) -> String; 3] = [
        |one| one.called.value.clone(),
        |one| one.name.clone(),
        |one| one.job.name.value.clone(),
    ];
    for name_of in by {
        let mut more: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, one) in instances.iter().enumerate() {
            more.entry(name_of(one)).or_default().push(offset + index);
        }
        for (name, indexes) in more {
            names.entry(name).or_insert(indexes);
        }
    }
    names
}

fn not_here<'a>(
    defined: &HashSet<&str>,
    workflow: &Workflow,
    need: &NeedRef,
    known: impl IntoIterator<Item = &'a str>,
    checker: &mut Checker<'_>,
) {
    if !defined.contains(need.job.value.as_str()) {
        return unknown_job(&need.job, "`requires`: ", known, checker);
    }
    let message = format!(
        "`requires` names {}, which the workflow {} does not run",
        quote(&need.job.value),
        quote(&workflow.name)
    );
    let suggestion = format!("add {} to the workflow's `jobs`", quote(&need.job.value));
    checker.report(Problem::error(Code::UnknownJob, need.job.span, message).suggest(suggestion));
}

/// Jobs that no workflow runs: allowed, but worth a word; what they require must exist all the same.
fn unused(config: &Config, instances: &[Instance<'_>], checker: &mut Checker<'_>) {
    let used: HashSet<&str> = instances.iter().map(|one| one.job.name.value.as_str()).collect();
    let defined: HashSet<&str> = config.jobs.iter().map(|job| job.name.value.as_str()).collect();
    for job in &config.jobs {
        if used.contains(job.name.value.as_str()) {
            continue;
        }
        // With an error anywhere it may be that error's fault.
        if !checker.has_errors() {
            let message = format!("no workflow runs the job {}", quote(&job.name.value));
            let problem = Problem::warning(Code::UnusedJob, job.name.span, message);
            checker.report(problem.suggest("name it in a workflow's `jobs`, or remove it"));
        }
        for need in &job.needs {
            if !defined.contains(need.job.value.as_str()) {
                unknown_job(&need.job, "`requires`: ", defined.iter().copied(), checker);
            }
        }
    }
}

/// Reports each circle once, at the entry of `requires` that closes it.
fn cycles(instances: &[Instance<'_>], checker: &mut Checker<'_>) {
    let mut left: BTreeSet<usize> = (0..instances.len()).collect();
    loop {
        strip(instances, &mut left);
        let Some(start) = left.first().copied() else {
            return;
        };
        // Each job that is left needs one that is left, so this walk comes back to a job it has seen.
        let mut path = vec![start];
        let mut seen = HashMap::from([(start, 0)]);
        let mut at = start;
        let (from, closing) = loop {
            let next = instances[at]
                .resolved
                .iter()
                .find(|(target, _)| left.contains(target));
            let Some((target, need)) = next else { return };
            if let Some(from) = seen.get(target) {
                break (*from, *need);
            }
            seen.insert(*target, path.len());
            path.push(*target);
            at = *target;
        };
        let circle = &path[from..];
        report_circle(circle, closing, instances, checker);
        for index in circle {
            left.remove(index);
        }
    }
}

/// Takes away all jobs whose needs were all taken away.
fn strip(instances: &[Instance<'_>], left: &mut BTreeSet<usize>) {
    let mut waits: HashMap<usize, usize> = HashMap::new();
    let mut needed_by: HashMap<usize, Vec<usize>> = HashMap::new();
    for index in left.iter() {
        let needs = instances[*index]
            .resolved
            .iter()
            .filter(|(target, _)| left.contains(target));
        let mut count = 0;
        for (target, _) in needs {
            needed_by.entry(*target).or_default().push(*index);
            count += 1;
        }
        waits.insert(*index, count);
    }
    let mut free: Vec<usize> = left
        .iter()
        .copied()
        .filter(|index| waits.get(index) == Some(&0))
        .collect();
    while let Some(index) = free.pop() {
        left.remove(&index);
        for waiting in needed_by.remove(&index).unwrap_or_default() {
            if let Some(count) = waits.get_mut(&waiting) {
                *count -= 1;
                if *count == 0 {
                    free.push(waiting);
                }
            }
        }
    }
}

fn report_circle(circle: &[usize], closing: &NeedRef, instances: &[Instance<'_>], checker: &mut Checker<'_>) {
    /// More names make the message no clearer.
    const SHOWN: usize = 12;
    let mut names: Vec<String> = circle
        .iter()
        .map(|index| quote(&instances[*index].name))
        .collect();
    let message = match names.as_slice() {
        [one] => format!("the job {one} requires itself"),
        _ => {
            let first = names[0].clone();
            if names.len() > SHOWN {
                let hidden = names.len() - SHOWN;
                names.truncate(SHOWN);
                names.push(format!("({hidden} more)"));
            }
            names.push(first);
            format!("jobs require each other in a circle: {}", names.join(" -> "))
        }
    };
    let problem = Problem::error(Code::Cycle, closing.job.span, message);
    checker.report(problem.suggest("remove one `requires` of the circle"));
}

fn lower(one: &Instance<'_>, instances: &[Instance<'_>]) -> api::plan::PlannedJob {
    let mut planned = one.job.planned.clone();
    planned.name.clone_from(&one.name);
    let mut seen = HashSet::new();
    planned.needs = one
        .resolved
        .iter()
        .filter(|(target, _)| seen.insert(*target))
        .map(|(target, need)| Need {
            job: instances[*target].name.clone(),
            outcomes: need.outcomes.clone(),
        })
        .collect();
    planned
}
