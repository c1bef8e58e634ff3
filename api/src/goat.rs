//! What GOAT is told, and what it leaves behind. Sources: the GOAT contract, parts 1.2 and 2 (G6).

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The configuration JSON in `CIRCLECI_GOAT_CONFIG`, or in the file that `CIRCLECI_GOAT_CONFIG_FILE` names.
/// Unknown keys are ignored, because a newer container agent may send more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GoatConfig {
    /// A custom entrypoint that runs beside the task agent; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The user to run the task agent as; empty: GOAT's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The id to unclaim with.
    pub task_id: String,
    /// The task token.
    pub token: Option<Secret>,
    /// The task agent's command, split on single spaces.
    pub task_agent_path: String,
    /// If set, wait for this file before the task agent starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub readiness_file_path: String,
    /// Also retry errors that are not known to be safe.
    pub enable_unsafe_retries: bool,
    /// Where the runner API is.
    pub runner_api_base_url: String,
    /// The attempt.
    pub allocation: String,
    /// Handed to the task agent where set.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ssh_advertise_addr: String,
    /// Nanoseconds.
    pub max_run_time: i64,
    /// Ours (G15): the task agent gets TERM at once.
    pub notify_task_agent: bool,
    /// Ours (G23): draw an instance id, send it with each call and hand it to the task agent.
    pub share_instance: bool,
    /// Ours (G6): where the termination message goes; empty: `/dev/termination-log`, where it exists.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub termination_message_path: String,
}

/// The header that carries GOAT's instance id (G23).
pub const INSTANCE_HEADER: &str = "X-Goatherd-Instance";
/// The variable that hands it to the task agent (G23).
pub const INSTANCE_VARIABLE: &str = "GOATHERD_INSTANCE";

/// Why GOAT ended, for whoever collects the place (G6). At most 4096 bytes as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminationMessage {
    /// What ended.
    pub kind: TerminationKind,
    /// For people.
    pub message: String,
    /// The task agent's exit code, where it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the task agent, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The first TERM or INT that arrived, and who sent it, as far as that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted_by: Option<String>,
    /// Whether the kernel's OOM killer ended it.
    #[serde(default)]
    pub oom: bool,
    /// Whether the runner API took the report.
    #[serde(default)]
    pub reported: bool,
    /// How long the task agent ran, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
    /// The most memory a child held, in KiB.
    #[serde(default)]
    pub max_rss_kib: u64,
}

/// What ended, in a [`TerminationMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TerminationKind {
    /// The task agent exited with 0: its terminal record was acknowledged.
    Completed,
    /// The task agent ended otherwise.
    TaskAgentEnded,
    /// The task agent could not be started.
    TaskAgentNotStarted,
    /// The custom entrypoint could not be started.
    EntrypointNotStarted,
    /// The readiness file did not come in time.
    NotReady,
    /// TERM or INT arrived.
    Interrupted,
    /// The configuration cannot be used.
    Configuration,
}
