//! How far an attempt is, and how a job and a pipeline end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far an attempt is. It never goes backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// An agent has it; nothing was reported yet.
    Claimed,
    /// Its place is being found.
    Scheduling,
    /// Its images are being pulled.
    Pulling,
    /// Its place starts.
    Starting,
    /// Its steps run.
    Running,
    /// Its steps are over; what they left is being sent.
    Finishing,
}

impl Phase {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Scheduling => "scheduling",
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Finishing => "finishing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// The terminal state of a job, and the outcome of an attempt (which is never `Skipped`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step that had to succeed did, and the terminal record says so.
    Succeeded,
    /// A step, the config or an authorisation failed.
    Failed,
    /// A limit of time was reached.
    TimedOut,
    /// Somebody stopped it.
    Cancelled,
    /// The infrastructure failed; the cause says how.
    InfraFailed,
    /// A job that it needs did not end as required, so it never ran.
    Skipped,
}

impl Outcome {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::InfraFailed => "infra_failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// The outcome of a pipeline: the first of these, in this order, that one of its jobs has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineOutcome {
    /// A job was cancelled.
    Cancelled,
    /// A job, or reading the config, failed by infrastructure.
    InfraFailed,
    /// A job ran out of time.
    TimedOut,
    /// A job failed, or the config is invalid.
    Failed,
    /// All jobs succeeded.
    Succeeded,
}

impl PipelineOutcome {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::InfraFailed => "infra_failed",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

impl fmt::Display for PipelineOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}
