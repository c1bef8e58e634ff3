//! `presence`, `adopt` and `attempts/status`: what an agent holds, may take over and may remove.

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::ids::{AttemptRef, Reach};
use crate::terms::{Millis, Terms};

/// An agent says that it is alive and what it holds. It renews only what is listed and ends nothing by
/// omission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceRequest {
    /// Who says so.
    pub holder: Holder,
    /// What its driver can see and remove.
    pub reach: Reach,
    /// What it holds.
    pub holds: Vec<Held>,
    /// Whether it is draining: it takes nothing new.
    #[serde(default)]
    pub draining: bool,
    /// The longest to wait for news. The server answers at once while something here is news.
    pub wait: Millis,
}

/// An attempt that an agent holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Whether its cancel was already seen, so that it is no news.
    #[serde(default)]
    pub cancel_seen: bool,
}

/// The answer to `presence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceResponse {
    /// An answer for each attempt that was listed.
    pub attempts: Vec<Standing>,
    /// Whether the agent must drain.
    #[serde(default)]
    pub drain: bool,
    /// The server's terms for agents now.
    pub terms: Terms,
}

/// How an attempt stands with the agent that asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Whose it is.
    pub whose: Whose,
    /// Set when it is to be stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelOrder>,
}

/// Whose an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Yours: go on.
    Yours,
    /// Another agent has it: forget it and touch nothing.
    Moved,
    /// It is over: stop and remove its place.
    Over,
}

/// An order to stop an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOrder {
    /// Who cancelled.
    pub by: String,
    /// Why, in their words.
    pub why: String,
}

/// An agent asks for places whose holder's presence has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptRequest {
    /// Who asks.
    pub holder: Holder,
    /// What its driver can see and remove; must be the reach of the attempts' holders.
    pub reach: Reach,
    /// The places that its driver lists now.
    pub candidates: Vec<AdoptCandidate>,
}

/// A place that could be adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptCandidate {
    /// Its attempt.
    pub attempt: AttemptRef,
    /// The holder that is written on the place or was last seen.
    pub held_by: Holder,
}

/// The answer to `adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptResponse {
    /// An answer for each candidate.
    pub attempts: Vec<Adoption>,
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The attempt.
    pub attempt: AttemptRef,
    /// What became of it.
    pub result: AdoptionResult,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum AdoptionResult {
    /// It is the caller's now, under its old terms.
    Adopted {
        /// The attempt's terms.
        terms: Terms,
    },
    /// Its holder is alive, or it belongs to another reach.
    Refused,
    /// The attempt is over: the place may be removed.
    Over,
}

/// An agent asks which attempts live, before it sweeps anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {
    /// The attempts.
    pub attempts: Vec<AttemptRef>,
}

/// The answer to `attempts/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusResponse {
    /// An answer for each attempt.
    pub attempts: Vec<AttemptStatus>,
}

/// Whether an attempt lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStatus {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Its life.
    pub life: Life,
    /// Who holds it, where it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Whether an attempt lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It is open: touch nothing.
    Live,
    /// It is closed: its place may be removed.
    Over,
    /// The server never heard of it: a place of another installation; touch nothing.
    Unknown,
}
