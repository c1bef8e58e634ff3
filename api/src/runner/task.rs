//! The task agent's calls: the task, heartbeat, output, steps, the terminal record.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::presence::CancelOrder;
use crate::cause::Cause;
use crate::ids::{AttemptRef, PipelineId};
use crate::operation::Step;
use crate::outcome::Outcome;
use crate::secret::Secret;
use crate::terms::{Millis, Terms};

/// The task, as its task agent fetches it. The first caller's instance binds the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The attempt.
    pub attempt: AttemptRef,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The job's name.
    pub job: String,
    /// What to check out.
    pub source: Source,
    /// The steps, in order. A step's number is its place here, from 0.
    pub steps: Vec<Step>,
    /// Variables for every `run` step.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Secret variables for `run` steps only; masked in all output.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
    /// Where steps run: absolute, or `~/...` under the task's home.
    pub working_directory: String,
    /// The job's shell, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// The longest that the job may run, counted from `starting`.
    pub time_limit: Millis,
    /// How much of the time limit is over already.
    pub time_used: Millis,
    /// All durations.
    pub terms: Terms,
    /// The highest contiguous number of stored output: after a restart, numbers go on from here.
    #[serde(default)]
    pub stored: u64,
}

/// What a checkout takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The repository's name on the server.
    pub repository: String,
    /// Where to clone from; the server's own `/git/{repository}` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_url: Option<String>,
    /// What the server's own `/git/{repository}` takes as a password while the attempt is open; absent where
    /// there is a clone URL. It is good for that alone: what runs beside git in a task may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The commit, in full.
    pub commit: String,
    /// The ref that was pushed, such as `refs/heads/main`.
    pub reference: String,
}

/// Renews the task lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatRequest {
    /// The longest to wait for news.
    pub wait: Millis,
    /// Whether a cancel was already seen, so that it is no news.
    #[serde(default)]
    pub cancel_seen: bool,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// Set when the task is to be stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelOrder>,
}

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The step's standard output.
    Stdout,
    /// The step's standard error.
    Stderr,
    /// The task agent itself.
    System,
}

/// A piece of output. Numbers start at 1 and leave no gap within an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The step's number.
    pub step: u32,
    /// The chunk's number.
    pub sequence: u64,
    /// Where it came from.
    pub stream: Stream,
    /// Milliseconds since the epoch, by the task agent's clock; for display.
    pub time: i64,
    /// What was written, or how much of it could not be kept.
    #[serde(flatten)]
    pub content: Content,
}

/// What a chunk holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The bytes as the step wrote them, masked.
    Bytes(Bytes),
    /// So many bytes could not be kept.
    Lost(u64),
}

/// Bytes that travel as base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// Sends output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRequest {
    /// Chunks in rising order.
    pub chunks: Vec<Chunk>,
}

/// The answer to `output`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputResponse {
    /// The highest contiguous number stored; 0 for none.
    pub stored: u64,
}

/// Says that a step began or ended. The first `run` operation starts only after its *began* was
/// acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequest {
    /// The step's number.
    pub step: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: StepEvent,
    /// Milliseconds since the epoch, by the task agent's clock; for display.
    pub time: i64,
}

/// What happened to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum StepEvent {
    /// It began.
    Began,
    /// It ended.
    Ended(StepEnd),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnd {
    /// Its exit code; 128 + n after signal n, as shells say it.
    pub exit_code: i32,
    /// The signal that ended it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
}

/// The terminal record. A job is green only by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishRequest {
    /// The outcome; never `skipped`.
    pub outcome: Outcome,
    /// Why, where it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// How each step that began ended.
    pub steps: Vec<StepResult>,
    /// The number of the last chunk; 0 for none.
    pub last_sequence: u64,
}

/// A step in the terminal record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// The step's number.
    pub step: u32,
    /// How it ended.
    #[serde(flatten)]
    pub end: StepEnd,
}
