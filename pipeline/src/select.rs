//! A part of a plan: some jobs and all that they need.

use std::collections::{HashMap, HashSet};

use api::Plan;
use api::plan::PlannedJob;

use crate::suggest;

/// The part cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The plan has no such job.
    #[error("there is no job `{name}`{}", hint(suggestion.as_deref(), known))]
    UnknownJob {
        /// The name that was asked for.
        name: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
        /// The plan's jobs.
        known: Vec<String>,
    },
}

/// How many jobs are listed.
const MOST_LISTED: usize = 20;

fn hint(suggestion: Option<&str>, known: &[String]) -> String {
    if let Some(near) = suggestion {
        return format!("; did you mean `{near}`?");
    }
    let mut listed: Vec<String> = known
        .iter()
        .take(MOST_LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = known.len().saturating_sub(MOST_LISTED);
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    match listed.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; there is {only}"),
        Some((last, others)) => format!("; there are {} and {last}", others.join(", ")),
    }
}

/// Takes the named jobs and all that they need, in the plan's order. No names: the whole plan.
///
/// # Errors
/// When the plan has no job of such a name.
pub fn select(plan: &Plan, jobs: &[String]) -> Result<Plan, SelectError> {
    if jobs.is_empty() {
        return Ok(plan.clone());
    }
    let by_name: HashMap<&str, &PlannedJob> = plan.jobs.iter().map(|job| (job.name.as_str(), job)).collect();
    let mut wanted: HashSet<&str> = HashSet::new();
    let mut open: Vec<&PlannedJob> = Vec::new();
    for name in jobs {
        let Some(job) = by_name.get(name.as_str()) else {
            let names = plan.jobs.iter().map(|job| job.name.as_str());
            return Err(SelectError::UnknownJob {
                name: name.clone(),
                suggestion: suggest::nearest(name, names).map(str::to_owned),
                known: plan.jobs.iter().map(|job| job.name.clone()).collect(),
            });
        };
        open.push(job);
    }
    while let Some(job) = open.pop() {
        if wanted.insert(&job.name) {
            open.extend(job.needs.iter().filter_map(|need| by_name.get(need.job.as_str())));
        }
    }
    let chosen = plan.jobs.iter().filter(|job| wanted.contains(job.name.as_str()));
    Ok(Plan {
        jobs: chosen.cloned().collect(),
    })
}
