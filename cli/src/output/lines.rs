//! Events for people: plain lines `[job/step +12.3s] text`. Pure: events in, lines out.
//!
//! A line is printed once it is whole: pieces are put together for each step and stream. The time is since
//! the first event. What matters of a failure is said once more at the end: the cause, what to do, and the
//! last lines of the step.

use std::collections::{HashMap, VecDeque};

use api::people::{Event, EventKind};
use api::runner::task::Stream;
use api::{Cause, Outcome, PipelineOutcome};

use super::terminal::clean;
use super::time::seconds;

pub(crate) use super::terminal::Escapes;

/// How many of a failing step's last lines are said again.
const TAIL: usize = 20;
/// A line longer than this, in bytes, is printed in pieces.
const LONGEST: usize = 16 * 1024;
/// How much of a piece of output becomes lines at a time, in bytes; more only where a line is longer.
const PART: usize = 16 * 1024;
/// The streams of a step, in the order in which unfinished lines are printed.
const STREAMS: [Stream; 3] = [Stream::Stdout, Stream::Stderr, Stream::System];

/// Renders a pipeline's events.
#[derive(Debug)]
pub(crate) struct Lines {
    escapes: Escapes,
    first: Option<i64>,
    /// The latest time that was shown, in milliseconds since the first event.
    latest: u64,
    jobs: HashMap<String, Job>,
    failures: Vec<Failure>,
    /// The jobs that ended, in that order, with what is said of them at the end.
    ended: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Job {
    unfinished: HashMap<(String, Stream), String>,
    /// The step whose lines are `tail`: the one that failed or, while none did, the latest.
    step: String,
    failed: bool,
    tail: VecDeque<String>,
}

#[derive(Debug)]
struct Failure {
    job: String,
    outcome: Outcome,
    cause: Option<Cause>,
    step: String,
    tail: VecDeque<String>,
}

impl Lines {
    /// Renders for a pipe or a terminal.
    pub(crate) fn new(escapes: Escapes) -> Self {
        Self {
            escapes,
            first: None,
            latest: 0,
            jobs: HashMap::new(),
            failures: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The lines that are whole with this event.
    pub(crate) fn render(&mut self, event: &Event) -> Vec<String> {
        let elapsed = self.elapsed(event.time);
        let at = |place: &str, text: &str| format!("[{place} +{}] {text}", seconds(elapsed));
        match &event.what {
            EventKind::JobStarted { job } => vec![at(job, "started")],
            EventKind::JobPhase {
                job,
                phase,
                attempt,
                detail,
            } => {
                let again = if *attempt > 1 {
                    format!(" (attempt {attempt})")
                } else {
                    String::new()
                };
                let detail = if detail.is_empty() {
                    String::new()
                } else {
                    format!(": {}", self.clean(detail))
                };
                vec![at(job, &format!("{phase}{again}{detail}"))]
            }
            EventKind::StepStarted { job, step } => {
                self.jobs.entry(job.clone()).or_default().begin(step);
                vec![at(&format!("{job}/{step}"), "started")]
            }
            EventKind::StepOutput {
                job,
                step,
                stream,
                text,
            } => self.render_output(event.time, (job, step, *stream), text),
            EventKind::StepFinished {
                job,
                step,
                exit_code,
                duration_ms,
            } => {
                let mut lines = self.finish(job, Some(step), elapsed);
                let took = seconds(*duration_ms);
                let place = format!("{job}/{step}");
                if *exit_code == 0 {
                    lines.push(at(&place, &format!("done in {took}")));
                } else {
                    self.jobs.entry(job.clone()).or_default().fail(step);
                    lines.push(at(&place, &format!("exit code {exit_code} after {took}")));
                }
                lines
            }
            EventKind::JobFinished {
                job,
                outcome,
                cause,
                because,
                duration_ms,
            } => {
                let mut lines = self.finish(job, None, elapsed);
                lines.push(at(
                    job,
                    &self.ended(*outcome, cause.as_ref(), because.as_deref(), *duration_ms),
                ));
                let known = self.jobs.remove(job).unwrap_or_default();
                self.ended.push((job.clone(), end(*outcome, *duration_ms)));
                if !matches!(outcome, Outcome::Succeeded | Outcome::Skipped) {
                    self.failures.push(Failure {
                        job: job.clone(),
                        outcome: *outcome,
                        cause: cause.clone(),
                        step: known.step,
                        tail: known.tail,
                    });
                }
                lines
            }
            EventKind::PipelineFinished { outcome, cause } => self.summary(*outcome, cause.as_ref(), elapsed),
            // A newer server's event; its JSON is there with --json.
            _ => Vec::new(),
        }
    }

    /// The lines that are whole with this piece of output, of a job's step and one of its streams.
    pub(crate) fn render_output(
        &mut self,
        time: i64,
        (job, step, stream): (&str, &str, Stream),
        text: &str,
    ) -> Vec<String> {
        let elapsed = self.elapsed(time);
        let known = self.jobs.entry(job.to_owned()).or_default();
        let whole = known.take(step, stream, text);
        self.print(job, step, whole, elapsed)
    }

    /// How long after the first event this is, in milliseconds.
    fn elapsed(&mut self, time: i64) -> u64 {
        let first = *self.first.get_or_insert(time);
        // A step's times are by another clock than a job's: who reads sees one that never goes back.
        let elapsed = u64::try_from(time.saturating_sub(first)).unwrap_or(0);
        self.latest = elapsed.max(self.latest);
        self.latest
    }

    fn ended(
        &self,
        outcome: Outcome,
        cause: Option<&Cause>,
        because: Option<&str>,
        duration_ms: u64,
    ) -> String {
        match (outcome, cause) {
            (Outcome::Skipped, _) => because.map_or_else(
                || "skipped: a job that it needs did not end as required".to_owned(),
                |need| format!("skipped: `{}` did not end as required", self.clean(need)),
            ),
            (Outcome::Succeeded, _) => format!("succeeded in {}", seconds(duration_ms)),
            (outcome, None) => outcome.to_string(),
            (outcome, Some(cause)) => format!("{outcome}: {}", self.clean(&cause.sentence())),
        }
    }

    /// What a person wants to know at the end.
    fn summary(&self, outcome: PipelineOutcome, cause: Option<&Cause>, elapsed: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for failure in &self.failures {
            lines.push(String::new());
            let sentence = failure.cause.as_ref().map_or_else(String::new, |cause| {
                format!(": {}", self.clean(&cause.sentence()))
            });
            lines.push(format!("{} {}{sentence}", failure.job, failure.outcome));
            lines.extend(
                failure
                    .cause
                    .as_ref()
                    .map(|cause| format!("  hint: {}", cause.hint())),
            );
            if !failure.tail.is_empty() {
                lines.push(format!("  the last lines of step `{}`:", failure.step));
                lines.extend(failure.tail.iter().map(|text| format!("    {text}")));
            }
        }
        lines.push(String::new());
        let width = self
            .ended
            .iter()
            .map(|(job, _)| job.chars().count())
            .max()
            .unwrap_or(0);
        lines.extend(
            self.ended
                .iter()
                .map(|(job, end)| format!("  {job:width$}  {end}")),
        );
        lines.push(format!("pipeline {outcome} after {}", seconds(elapsed)));
        if let Some(cause) = cause {
            lines.push(format!("  {}", self.clean(&cause.sentence())));
            lines.push(format!("  hint: {}", cause.hint()));
        }
        lines
    }

    /// Prints what has no line end yet: of one step, or of all steps of a job.
    fn finish(&mut self, job: &str, step: Option<&str>, elapsed: u64) -> Vec<String> {
        let Some(known) = self.jobs.get_mut(job) else {
            return Vec::new();
        };
        let mut steps: Vec<String> = known.unfinished.keys().map(|(step, _)| step.clone()).collect();
        steps.sort();
        steps.dedup();
        let mut lines = Vec::new();
        for name in steps
            .iter()
            .filter(|name| step.is_none_or(|step| step == name.as_str()))
        {
            for stream in STREAMS {
                let rest = self
                    .jobs
                    .get_mut(job)
                    .and_then(|job| job.unfinished.remove(&(name.clone(), stream)));
                lines.extend(self.print(job, name, rest.into_iter().collect(), elapsed));
            }
        }
        lines
    }

    fn print(&mut self, job: &str, step: &str, whole: Vec<String>, elapsed: u64) -> Vec<String> {
        let known = self.jobs.entry(job.to_owned()).or_default();
        let mut lines = Vec::with_capacity(whole.len());
        for text in whole {
            let text = clean(&text, self.escapes);
            known.remember(step, &text);
            lines.push(
                format!("[{job}/{step} +{}] {text}", seconds(elapsed))
                    .trim_end()
                    .to_owned(),
            );
        }
        lines
    }

    /// Somebody's text on one line.
    fn clean(&self, text: &str) -> String {
        clean(&text.replace('\n', " "), self.escapes)
    }
}

/// `succeeded  1.2s`.
fn end(outcome: Outcome, duration_ms: u64) -> String {
    match outcome {
        Outcome::Skipped => outcome.to_string(),
        _ => format!("{:<12}  {}", outcome.to_string(), seconds(duration_ms)),
    }
}

impl Job {
    /// Another step begins: its lines are what matters, unless one failed before.
    fn begin(&mut self, step: &str) {
        if !self.failed && self.step != step {
            step.clone_into(&mut self.step);
            self.tail.clear();
        }
    }

    fn fail(&mut self, step: &str) {
        self.begin(step);
        self.failed = true;
    }

    fn remember(&mut self, step: &str, text: &str) {
        self.begin(step);
        if self.step == step && !text.trim().is_empty() {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(text.to_owned());
        }
    }

    /// Adds a piece of output; gives the lines that are whole now. A line is copied once, however many a piece has.
    fn take(&mut self, step: &str, stream: Stream, text: &str) -> Vec<String> {
        let place = (step.to_owned(), stream);
        let mut unfinished = self.unfinished.remove(&place).unwrap_or_default();
        let mut whole = Vec::new();
        for piece in text.split_inclusive('\n') {
            if let Some(end) = piece.strip_suffix('\n') {
                unfinished.push_str(end);
                whole.push(std::mem::take(&mut unfinished));
            } else {
                unfinished.push_str(piece);
            }
        }
        if unfinished.len() > LONGEST {
            whole.push(std::mem::take(&mut unfinished));
        }
        if !unfinished.is_empty() {
            self.unfinished.insert(place, unfinished);
        }
        whole
    }
}

/// Output in parts of about [`PART`] bytes, so that the lines of few are there at a time. They end where lines do,
/// and so give the same lines as the whole.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let after = rest.as_bytes().get(PART..).unwrap_or_default();
        let end = after.iter().position(|byte| *byte == b'\n');
        let (part, others) = rest.split_at(end.map_or(rest.len(), |end| PART + end + 1));
        rest = others;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests;
