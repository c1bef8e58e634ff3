//! `unclaim`, `fail`, `phase` and `cause`: reports from beside the task.

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::cause::Cause;
use crate::ids::AttemptRef;
use crate::outcome::Phase;
use crate::secret::Secret;

/// Gives an attempt back. GOAT authenticates with the task token and sends only the two compatible keys;
/// an agent authenticates with its resource-class token and names attempt and holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclaimRequest {
    /// The task.
    pub task_id: String,
    /// The task token, from GOAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_token: Option<Secret>,
    /// The attempt, from an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptRef>,
    /// The holder, from an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Why, from an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Reports an infrastructure failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailRequest {
    /// The attempt, as text.
    pub allocation: String,
    /// Milliseconds since the epoch, by the sender's clock; for display.
    pub timestamp: i64,
    /// The message, in base64.
    pub message: String,
    /// The holder, from an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Reports how far an attempt is. From an agent with its holder; from a task agent without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRequest {
    /// The attempt.
    pub attempt: AttemptRef,
    /// The holder, from an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The phase.
    pub phase: Phase,
    /// Details for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Tells the cause of an infrastructure failure, that the place is gone, or both.
///
/// On an open attempt, `place_removed` *is* the infrastructure failure; in the window of one it ends the
/// window early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseRequest {
    /// The attempt.
    pub attempt: AttemptRef,
    /// The holder, from an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The cause, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Whether the place is gone and nothing can start it again.
    #[serde(default)]
    pub place_removed: bool,
}
