//! `claim`: an agent asks for a task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::ids::{AttemptRef, Reach};
use crate::secret::Secret;
use crate::terms::{Millis, Terms};

/// An agent asks for a task. Its token names the resource class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// Who asks.
    pub holder: Holder,
    /// Rises with each claim that was answered; on the agent's disk before it is sent, and repeated until
    /// answered. The same nonce gets the same claim; a lower one, or one of a closed attempt, 410.
    pub nonce: u64,
    /// The attempts that the agent holds.
    pub holds: Vec<AttemptRef>,
    /// How many more it could hold.
    pub free_slots: u32,
    /// What it runs on.
    pub platform: Platform,
    /// The driver's name, and so what it can do.
    pub driver: String,
    /// What its driver can see and remove.
    pub reach: Reach,
    /// The machine's name, for people.
    pub name: String,
    /// The longest to wait for a task.
    pub wait: Millis,
}

/// An operating system and a processor, as Go names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub arch: String,
}

/// A claimed attempt: what is needed to make its place. No secrets of the job, no steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The attempt; its text is the allocation.
    pub attempt: AttemptRef,
    /// The task token: good for this attempt alone.
    pub token: Secret,
    /// The server's installation id: every place is labelled with it.
    pub installation: String,
    /// The job's name, for people.
    pub job: String,
    /// The image; none where the job names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The services, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// The longest that the job may run.
    pub time_limit: Millis,
    /// All durations.
    pub terms: Terms,
}

/// A service container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}
