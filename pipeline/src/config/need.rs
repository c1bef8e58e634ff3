//! `requires`: one job, a list of jobs, or jobs with the outcomes that satisfy.

use api::outcome::Outcome;

use super::NeedRef;
use crate::check::Checker;
use crate::diagnostic::{Code, Problem, quote};
use crate::source::Spanned;
use crate::tree::{Entry, Kind, Node};

/// What satisfies where nothing is said.
const DEFAULT: &[Outcome] = &[Outcome::Succeeded];
/// Every way in which a job can end.
const TERMINAL: &[Outcome] = &[
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::TimedOut,
    Outcome::Cancelled,
    Outcome::InfraFailed,
    Outcome::Skipped,
];
/// The words for outcomes: ours, then CircleCI's.
const OUTCOMES: &[(&str, &[Outcome])] = &[
    ("succeeded", &[Outcome::Succeeded]),
    ("failed", &[Outcome::Failed]),
    ("timed_out", &[Outcome::TimedOut]),
    ("cancelled", &[Outcome::Cancelled]),
    ("infra_failed", &[Outcome::InfraFailed]),
    ("skipped", &[Outcome::Skipped]),
    ("success", &[Outcome::Succeeded]),
    ("canceled", &[Outcome::Cancelled]),
    ("not_run", &[Outcome::Skipped]),
    ("terminal", TERMINAL),
];

/// Reads `requires`.
pub(super) fn read(node: &Node, checker: &mut Checker<'_>) -> Vec<NeedRef> {
    let mut needs = Vec::new();
    match &node.kind {
        _ if node.is_nothing() => {}
        Kind::Scalar(_) => needs.extend(plain(node, checker)),
        Kind::Mapping(entries) => needs.extend(entries.iter().filter_map(|entry| with(entry, checker))),
        Kind::Sequence(items) => {
            for item in items.iter() {
                match &item.kind {
                    Kind::Mapping(entries) => {
                        needs.extend(entries.iter().filter_map(|entry| with(entry, checker)));
                    }
                    _ => needs.extend(plain(item, checker)),
                }
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    needs.retain(|need| {
        let first = seen.insert(need.job.value.clone());
        if !first {
            let message = format!("`requires` names {} twice", quote(&need.job.value));
            checker.report(Problem::warning(Code::NoEffect, need.job.span, message));
        }
        first
    });
    needs
}

fn plain(node: &Node, checker: &mut Checker<'_>) -> Option<NeedRef> {
    let job = checker.full_text(node, "`requires`")?;
    Some(NeedRef {
        job,
        outcomes: DEFAULT.to_vec(),
    })
}

/// `build: [succeeded, failed]`.
fn with(entry: &Entry, checker: &mut Checker<'_>) -> Option<NeedRef> {
    let words: &[Node] = match &entry.value.kind {
        Kind::Sequence(words) => words,
        _ => std::slice::from_ref(&entry.value),
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for word in words {
        outcomes.extend(checker.choice(word, "an outcome", OUTCOMES)?);
    }
    outcomes.sort_unstable();
    outcomes.dedup();
    if outcomes.is_empty() {
        let message = format!("no outcome of {} would satisfy", quote(&entry.key));
        checker.report(Problem::error(Code::Empty, entry.value.span, message));
        return None;
    }
    Some(NeedRef {
        job: Spanned {
            value: entry.key.to_string(),
            span: entry.key_span,
        },
        outcomes,
    })
}
