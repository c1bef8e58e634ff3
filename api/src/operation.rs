//! The closed set of operations that a task agent knows. The server lowers every step type to these, so
//! that an older agent runs a newer step type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::terms::Millis;

/// When a step runs, given how the steps before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// While no step has failed.
    #[default]
    OnSuccess,
    /// Whatever happened before; not after a cancel or the job's limit.
    Always,
    /// Only once a step has failed.
    OnFail,
}

/// One step of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What people see.
    pub name: String,
    /// When it runs.
    #[serde(default)]
    pub when: When,
    /// What it does.
    #[serde(flatten)]
    pub operation: Operation,
}

/// What a task agent can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Puts the task's commit into a folder.
    Checkout {
        /// Where to; the task's working directory where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// Runs a command in a new shell.
    Run {
        /// The command, given to the shell as a script.
        command: String,
        /// The shell and its options; the task's, else what the image has, where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shell: Option<String>,
        /// Where it runs, relative to the task's working directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        working_directory: Option<String>,
        /// Variables for this step, over the task's.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        environment: BTreeMap<String, String>,
        /// How long it may write nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        no_output_timeout: Option<Millis>,
    },
    /// Sends a file, or a folder's files, to the server's artifacts.
    Upload {
        /// The file or folder, relative to the working directory.
        source: String,
        /// The name that it gets; the source's where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        destination: Option<String>,
    },
}
