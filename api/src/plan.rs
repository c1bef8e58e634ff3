//! The plan: what a config compiles to. `pipeline` makes it, the store keeps it, the queue reads what a job
//! needs, and the server hands a job's part to its task agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::operation::Step;
use crate::outcome::Outcome;
use crate::runner::claim::Service;
use crate::terms::Millis;

/// All jobs of a pipeline, in the config's order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The jobs. Names are unique; needs name jobs of this plan and form no cycle.
    pub jobs: Vec<PlannedJob>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// Its name.
    pub name: String,
    /// Its image, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// The resource class that must run it; the server's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_class: Option<String>,
    /// Variables for every step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// What must have ended, and how, before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// The job's shell, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Where steps run; `~/project` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Whether an infrastructure failure after its first `run` operation began may run it again
    /// (`retry: infra`).
    #[serde(default)]
    pub retry_infra: bool,
    /// The longest that it may run; the server's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Millis>,
}

/// A job that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Its name.
    pub job: String,
    /// The outcomes that satisfy the need.
    pub outcomes: Vec<Outcome>,
}
