//! What a Git provider is told about a commit: one status for each job, and one for a pipeline without jobs.

use api::{Cause, Millis, Outcome};

use crate::job::{Ended, Job, JobState};

/// The four words that every provider has in some form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusState {
    /// It has not ended.
    Pending,
    /// It succeeded, or there was nothing to do.
    Success,
    /// The commit is at fault: a step failed, a limit was reached, the config is wrong.
    Failure,
    /// Something else is at fault: infrastructure, or somebody cancelled it.
    Error,
}

/// A status, with a sentence for people. The sentence has no bound here: each provider has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// The state.
    pub state: StatusState,
    /// What is behind it.
    pub description: String,
}

impl CommitStatus {
    /// A status.
    #[must_use]
    pub fn new(state: StatusState, description: impl Into<String>) -> Self {
        Self {
            state,
            description: description.into(),
        }
    }

    /// The status of a pipeline that ended without a plan.
    #[must_use]
    pub fn unplanned(cause: &Cause) -> Self {
        Self::new(state_of(cause.outcome()), cause.sentence())
    }
}

impl Job {
    /// The job's status at the provider now.
    ///
    /// Every job that has ended has a final one, a skipped job too: a provider that waits for it must not wait
    /// for ever.
    #[must_use]
    pub fn commit_status(&self) -> CommitStatus {
        match &self.state {
            JobState::Blocked => CommitStatus::new(StatusState::Pending, self.waits_for()),
            JobState::Queued { .. } => CommitStatus::new(StatusState::Pending, self.queued()),
            JobState::Running => CommitStatus::new(StatusState::Pending, self.running()),
            JobState::Ended(ended) => CommitStatus::new(state_of(ended.outcome), self.end_in_words(ended)),
        }
    }

    fn waits_for(&self) -> String {
        let needs: Vec<_> = self.needs.iter().map(|need| need.job.as_str()).collect();
        format!("waits for {}", needs.join(", "))
    }

    fn queued(&self) -> String {
        let last = self.attempts.last().and_then(|attempt| attempt.closed.as_ref());
        match last.and_then(|closed| closed.cause.as_ref()) {
            Some(cause) => format!("queued again: {}", cause.sentence()),
            None => "queued".to_owned(),
        }
    }

    fn running(&self) -> String {
        match self.attempts.last() {
            Some(attempt) if attempt.cancelling.is_some() => "running, and is being cancelled".to_owned(),
            Some(attempt) if attempt.number > 1 => format!("running (attempt {})", attempt.number),
            _ => "running".to_owned(),
        }
    }

    fn end_in_words(&self, ended: &Ended) -> String {
        match (ended.outcome, &ended.cause, &ended.because) {
            (Outcome::Succeeded, _, _) => {
                let begun = self.attempts.first().map_or(ended.at, |first| first.claimed_at);
                format!("succeeded in {}", in_words(ended.at.since(begun)))
            }
            (Outcome::Skipped, _, Some(need)) => format!("skipped: `{need}` did not end as required"),
            (_, Some(cause), _) => cause.sentence(),
            (outcome, None, _) => outcome.word().replace('_', " "),
        }
    }
}

const fn state_of(outcome: Outcome) -> StatusState {
    match outcome {
        Outcome::Succeeded | Outcome::Skipped => StatusState::Success,
        Outcome::Failed | Outcome::TimedOut => StatusState::Failure,
        Outcome::InfraFailed | Outcome::Cancelled => StatusState::Error,
    }
}

/// A duration to the second, because nobody reads milliseconds there.
fn in_words(duration: Millis) -> String {
    let seconds = duration.0.div_ceil(1000);
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}
