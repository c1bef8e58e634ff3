//! The runner API: what agents, GOAT and task agents say to the server. JSON over HTTP with bearer tokens:
//! a *resource-class token* (agents) or a *task token* (one attempt).
//!
//! Every call can be repeated: a repeat of the call that closed an attempt gets its first answer. An
//! attempt that something else closed answers 410, and the caller kills what it runs and ends.

pub mod claim;
pub mod presence;
pub mod report;
pub mod task;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// Paths of the runner API.
pub mod path {
    /// Claims a task; long poll.
    pub const CLAIM: &str = "/api/v3/runner/claim";
    /// Says that an agent is alive; long poll.
    pub const PRESENCE: &str = "/api/v3/runner/presence";
    /// Takes over places.
    pub const ADOPT: &str = "/api/v3/runner/adopt";
    /// Asks which attempts live.
    pub const ATTEMPTS_STATUS: &str = "/api/v3/runner/attempts/status";
    /// Gives an attempt back.
    pub const UNCLAIM: &str = "/api/v3/runner/unclaim";
    /// Reports an infrastructure failure.
    pub const FAIL: &str = "/api/v2/task/event/fail";
    /// Reports a phase.
    pub const PHASE: &str = "/api/v3/runner/task/phase";
    /// Reports a cause, or that the place is gone.
    pub const CAUSE: &str = "/api/v3/runner/task/cause";
    /// Fetches the task.
    pub const TASK: &str = "/api/v3/runner/task";
    /// Renews the task lease; long poll.
    pub const HEARTBEAT: &str = "/api/v3/runner/task/heartbeat";
    /// Sends output.
    pub const OUTPUT: &str = "/api/v3/runner/task/output";
    /// Says that a step began or ended.
    pub const STEP: &str = "/api/v3/runner/task/step";
    /// Sends an artifact; the artifact's name follows.
    pub const ARTIFACTS: &str = "/api/v3/runner/task/artifacts/";
    /// Sends the terminal record.
    pub const FINISH: &str = "/api/v3/runner/task/finish";
}

/// The header that carries an artifact's SHA-256, in lower-case hexadecimal digits.
pub const SHA256_HEADER: &str = "X-Goatherd-Sha256";

/// One process of one agent: the holder of a claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The agent.
    pub agent: AgentId,
    /// A number that rises with each start of the agent.
    pub incarnation: u64,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// A word for programs.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// With `output_missing`: the first number that is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_missing: Option<u64>,
}

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// 400: the request makes no sense.
    Invalid,
    /// 401: no token, or a wrong one.
    Unauthorised,
    /// 403: the token is good, but not for this.
    Forbidden,
    /// 404: there is no such thing.
    NotFound,
    /// 409: the attempt is being cancelled, so no step may begin.
    Cancelling,
    /// 409: the attempt may not be given back.
    RetriesExhausted,
    /// 409: output before the terminal record is missing.
    OutputMissing,
    /// 409: something else is in the way.
    Conflict,
    /// 410: the attempt, incarnation or nonce is over; stop and forget it.
    Gone,
    /// 413: too large.
    TooLarge,
    /// 500: the server failed.
    Internal,
    /// 503: try again later.
    Unavailable,
    /// 507: the server's disk is full.
    InsufficientStorage,
}
