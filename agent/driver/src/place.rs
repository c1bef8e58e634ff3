//! What a driver is told about a place, and what it tells.

use api::goat::TerminationMessage;
use api::runner::claim::{Claim, Service};
use api::{AgentId, AttemptRef, Phase, Secret, Terms};
use serde::{Deserialize, Serialize};

/// What is written on a place, so that whoever finds it knows whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The server's installation id.
    pub installation: String,
    /// The attempt.
    pub attempt: AttemptRef,
    /// The agent that made it.
    pub agent: AgentId,
    /// That agent's incarnation then.
    pub incarnation: u64,
    /// The job's name, for people.
    pub job: String,
}

/// A place to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is written on it.
    pub labels: Labels,
    /// The task token, for GOAT and the task agent alone.
    pub token: Secret,
    /// Where the runner API is, as seen from inside the place.
    pub runner_api_url: String,
    /// The image, where the job names one.
    pub image: Option<String>,
    /// Services to run beside the task.
    pub services: Vec<Service>,
    /// The longest that the job may run.
    pub time_limit: api::Millis,
    /// All durations.
    pub terms: Terms,
}

impl Order {
    /// The order that a claim asks for, made by `agent` in its `incarnation`.
    #[must_use]
    pub fn from_claim(claim: &Claim, agent: AgentId, incarnation: u64, runner_api_url: String) -> Self {
        Self {
            labels: Labels {
                installation: claim.installation.clone(),
                attempt: claim.attempt.clone(),
                agent,
                incarnation,
                job: claim.job.clone(),
            },
            token: claim.token.clone(),
            runner_api_url,
            image: claim.image.clone(),
            services: claim.services.clone(),
            time_limit: claim.time_limit,
            terms: claim.terms.clone(),
        }
    }
}

/// How far [`start`](crate::Driver::start) is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The phase: `scheduling`, `pulling` or `starting`.
    pub phase: Phase,
    /// Details for people.
    pub detail: String,
}

/// How a place's GOAT ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// GOAT's exit code, where it exited.
    pub code: Option<i32>,
    /// The signal that ended GOAT, where one did.
    pub signal: Option<i32>,
    /// What GOAT left as its last word.
    pub termination: Option<TerminationMessage>,
    /// The end of GOAT's log, for people.
    pub log_tail: String,
}

/// A place that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What is written on it.
    pub labels: Labels,
    /// Whether GOAT still runs in it.
    pub running: bool,
}
