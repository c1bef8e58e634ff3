//! The people's API (`/api/v1`): what the CLI and later the pages show. Every call needs a user or admin
//! token.

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::ids::{AttemptRef, PipelineId, TaskId};
use crate::outcome::{Outcome, Phase, PipelineOutcome};
use crate::runner::task::{StepEnd, Stream};

/// One thing that happened in a pipeline: a line of `goatherd run --json`, and a server-sent event of
/// `GET /api/v1/pipelines/{id}/events` (whose `id:` is the cursor to go on after).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since the epoch, by the server's clock (`step.output`: the task agent's).
    pub time: i64,
    /// What.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
#[non_exhaustive]
pub enum EventKind {
    /// A job's first attempt was claimed.
    #[serde(rename = "job.started")]
    JobStarted {
        /// The job.
        job: String,
    },
    /// A job's attempt reached a phase, or the job was queued again.
    #[serde(rename = "job.phase")]
    JobPhase {
        /// The job.
        job: String,
        /// The phase: a [`Phase`]'s word, or `queued`.
        phase: String,
        /// The attempt's number; 0 before the first.
        attempt: u32,
        /// Details for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// A step began.
    #[serde(rename = "step.started")]
    StepStarted {
        /// The job.
        job: String,
        /// The step's name.
        step: String,
    },
    /// A step wrote something.
    #[serde(rename = "step.output")]
    StepOutput {
        /// The job.
        job: String,
        /// The step's name.
        step: String,
        /// Where it came from.
        stream: Stream,
        /// The text as the step wrote it; bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// A step ended.
    #[serde(rename = "step.finished")]
    StepFinished {
        /// The job.
        job: String,
        /// The step's name.
        step: String,
        /// Its exit code.
        exit_code: i32,
        /// How long it ran.
        duration_ms: u64,
    },
    /// A job ended, or was skipped.
    #[serde(rename = "job.finished")]
    JobFinished {
        /// The job.
        job: String,
        /// How.
        outcome: Outcome,
        /// Why.
        cause: Option<Cause>,
        /// With `skipped`: the job that it needs and that did not end as required.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
        /// How long, from its first claim.
        duration_ms: u64,
    },
    /// The pipeline ended. The last event.
    #[serde(rename = "pipeline.finished")]
    PipelineFinished {
        /// How.
        outcome: PipelineOutcome,
        /// Why, where it never had a plan.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
}

impl EventKind {
    /// The job that it is about; none where it is about the pipeline.
    #[must_use]
    pub fn job(&self) -> Option<&str> {
        match self {
            Self::JobStarted { job }
            | Self::JobPhase { job, .. }
            | Self::StepStarted { job, .. }
            | Self::StepOutput { job, .. }
            | Self::StepFinished { job, .. }
            | Self::JobFinished { job, .. } => Some(job),
            Self::PipelineFinished { .. } => None,
        }
    }
}

/// A pipeline in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSummary {
    /// Its id.
    pub id: PipelineId,
    /// The repository's name.
    pub repository: String,
    /// The commit.
    pub commit: String,
    /// The ref.
    pub reference: String,
    /// When it was made, in milliseconds since the epoch.
    pub created: i64,
    /// How it ended, once it did.
    pub outcome: Option<PipelineOutcome>,
    /// Why, where it never had a plan.
    pub cause: Option<Cause>,
    /// When the server removed its logs, in milliseconds since the epoch, once it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_removed: Option<i64>,
    /// The same of its artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_removed: Option<i64>,
}

/// A pipeline with its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineView {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: PipelineSummary,
    /// Its jobs, in the config's order.
    pub jobs: Vec<JobView>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its task id.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// The jobs that it needs.
    pub requires: Vec<String>,
    /// `blocked`, `queued`, `running` or the outcome's word.
    pub state: String,
    /// How it ended, once it did.
    pub outcome: Option<Outcome>,
    /// Why.
    pub cause: Option<Cause>,
    /// The cause in words, where there is one.
    pub sentence: Option<String>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Its artifacts.
    pub artifacts: Vec<ArtifactView>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Which.
    pub attempt: AttemptRef,
    /// The agent that holds or held it.
    pub agent: String,
    /// How far it is or was.
    pub phase: Phase,
    /// How it ended, once it did.
    pub outcome: Option<Outcome>,
    /// Why.
    pub cause: Option<Cause>,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// How many bytes of output could not be kept.
    #[serde(default)]
    pub lost_bytes: u64,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Its number.
    pub step: u32,
    /// Its name.
    pub name: String,
    /// How it ended, once it did.
    pub end: Option<StepEnd>,
}

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactView {
    /// Its name; `GET /api/v1/jobs/{task}/artifacts/{name}` gives it.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// A rising number.
    pub number: u64,
    /// When, in milliseconds since the epoch.
    pub time: i64,
    /// Who: `admin`, `agent ID`, `webhook HOOK`, `server`.
    pub actor: String,
    /// What, as a dotted word: `webhook.accepted`, `attempt.claimed`.
    pub action: String,
    /// On what: a pipeline, task or attempt id.
    pub subject: String,
    /// Details for people. Never a secret.
    pub detail: String,
}

/// A repository that the server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryView {
    /// Its name.
    pub name: String,
    /// Where task agents check it out from; the server's own `/git/{name}` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_url: Option<String>,
}

/// Asks for a resource-class token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// The resource class.
    pub resource_class: String,
    /// What it is for, for people.
    #[serde(default)]
    pub description: String,
}

/// A new token; it is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResponse {
    /// The token.
    pub token: crate::secret::Secret,
    /// The resource class.
    pub resource_class: String,
}

/// Cancels a pipeline or a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Why, for people.
    #[serde(default)]
    pub why: String,
}

/// The answer to an order to cancel a pipeline (`O` is [`PipelineOutcome`]) or a job ([`Outcome`]). Giving the order
/// again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled<O> {
    /// How it had ended before the order came, which then changed nothing; none where it is being cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<O>,
}

/// Starts a pipeline by hand: `goatherd run` uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRequest {
    /// The repository's name on the server.
    pub repository: String,
    /// The commit, in full.
    pub commit: String,
    /// The ref, such as `refs/heads/main`.
    pub reference: String,
    /// Only these jobs and what they need; all where empty.
    #[serde(default)]
    pub jobs: Vec<String>,
}

/// Runs a pipeline's commit again, as a new pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RerunRequest {
    /// Only the jobs that did not succeed, and what they need.
    #[serde(default)]
    pub failed: bool,
}

/// A pipeline that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStarted {
    /// Its id.
    pub pipeline: PipelineId,
}
