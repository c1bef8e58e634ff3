//! What a pipeline's events tell, put together while they come.

use std::collections::BTreeMap;

use api::PipelineOutcome;
use api::people::{Event, EventKind};
use api::runner::task::Stream;
use sha2::{Digest as _, Sha256};

/// The events of one pipeline, summed up.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    /// The last event's cursor.
    pub(crate) cursor: u64,
    /// How many events there were.
    pub(crate) count: u64,
    /// A digest of all of them: what was shown once must be shown again.
    digest: Sha256,
    /// The numbered lines, by the execution that wrote them.
    pub(crate) lines: BTreeMap<String, Lines>,
    /// Checksums that steps wrote of what they upload, by job and artifact.
    pub(crate) sums: BTreeMap<(String, String), String>,
    /// How the pipeline ended, once it did.
    pub(crate) outcome: Option<PipelineOutcome>,
    /// The first thing that is wrong by itself.
    pub(crate) wrong: Option<String>,
    /// Lines that are not whole yet, by job and step.
    partial: BTreeMap<(String, String), String>,
    /// The attempt of each job.
    attempts: BTreeMap<String, u32>,
}

/// The numbered lines of one execution.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    /// The last number that came after all before it.
    pub(crate) last: u32,
    /// The first one that came out of turn.
    pub(crate) gap: Option<u32>,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            cursor: 0,
            count: 0,
            digest: Sha256::new(),
            lines: BTreeMap::new(),
            sums: BTreeMap::new(),
            outcome: None,
            wrong: None,
            partial: BTreeMap::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// The digest of all events so far.
    pub(crate) fn digest(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, cursor: u64, event: Event) {
        if cursor <= self.cursor {
            self.complain(format!("event {cursor} came after event {}", self.cursor));
        }
        if self.outcome.is_some() {
            self.complain(format!("event {cursor} came after the pipeline's end"));
        }
        self.cursor = cursor;
        self.count += 1;
        self.digest.update(cursor.to_le_bytes());
        self.digest
            .update(serde_json::to_vec(&event).expect("an event is JSON"));
        match event.what {
            EventKind::StepOutput {
                job,
                step,
                stream: Stream::Stdout,
                text,
            } => self.output(job, step, &text),
            EventKind::JobPhase { job, attempt, .. } => self.attempt(job, attempt),
            EventKind::PipelineFinished { outcome, .. } => self.outcome = Some(outcome),
            _ => {}
        }
    }

    fn attempt(&mut self, job: String, attempt: u32) {
        if self.attempts.get(&job) != Some(&attempt) {
            // What a killed attempt did not write to its end is no line.
            self.partial.retain(|(of, _), _| *of != job);
            self.attempts.insert(job, attempt);
        }
    }

    fn output(&mut self, job: String, step: String, text: &str) {
        let mut rest = self
            .partial
            .remove(&(job.clone(), step.clone()))
            .unwrap_or_default();
        rest.push_str(text);
        while let Some((line, after)) = rest.split_once('\n') {
            self.line(&job, line);
            rest = after.to_owned();
        }
        if !rest.is_empty() {
            self.partial.insert((job, step), rest);
        }
    }

    fn line(&mut self, job: &str, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["~", execution, number] => {
                let Ok(number) = number.parse::<u32>() else {
                    return self.complain(format!("a line is damaged: {line:?}"));
                };
                let lines = self.lines.entry(execution.to_owned()).or_default();
                if lines.gap.is_some() {
                } else if number == lines.last + 1 {
                    lines.last = number;
                } else {
                    lines.gap = Some(number);
                }
            }
            ["#", name, sum] => {
                self.sums
                    .insert((job.to_owned(), name.to_owned()), sum.to_owned());
            }
            _ => self.complain(format!("a line is damaged: {line:?}")),
        }
    }

    fn complain(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[&str]) -> Story {
        let mut story = Story::new();
        for (cursor, text) in (1..).zip(texts) {
            let what = EventKind::StepOutput {
                job: "work".to_owned(),
                step: "a".to_owned(),
                stream: Stream::Stdout,
                text: (*text).to_owned(),
            };
            story.take(cursor, Event { time: 0, what });
        }
        story
    }

    #[test]
    fn lines_in_turn_are_whole_over_borders_of_events() {
        let story = told(&["~ x 1\n~ x", " 2\n~ x 3\n"]);

        assert_eq!((story.lines["x"].last, story.lines["x"].gap), (3, None));
        assert_eq!(story.wrong, None);
    }

    #[test]
    fn a_line_that_is_missing_or_doubled_is_a_gap() {
        assert_eq!(told(&["~ x 1\n~ x 3\n"]).lines["x"].gap, Some(3));
        assert_eq!(told(&["~ x 1\n~ x 1\n"]).lines["x"].gap, Some(1));
        assert_eq!(told(&["~ x 2\n"]).lines["x"].gap, Some(2));
    }

    #[test]
    fn a_line_that_nobody_wrote_is_wrong() {
        assert!(told(&["~ x 1~ x 2\n"]).wrong.is_some());
    }

    #[test]
    fn an_event_that_comes_twice_is_wrong() {
        let mut story = told(&["~ x 1\n"]);

        story.take(
            1,
            Event {
                time: 0,
                what: EventKind::JobStarted {
                    job: "work".to_owned(),
                },
            },
        );

        assert!(story.wrong.is_some());
    }
}
