//! Why something ended as it did: a closed table. Kinds may be added, never renamed. Each has one sentence
//! for people and a hint what to do, the same in API, pages, commit status and metrics.

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::terms::Millis;

/// Why an attempt, a job or a pipeline ended as it did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// A step's command exited with something other than 0.
    Exit {
        /// The exit code.
        code: i32,
    },
    /// A step's command was ended by a signal.
    Signal {
        /// The signal's number.
        n: i32,
    },
    /// The kernel ended a process of a step for want of memory.
    Oom {
        /// The container.
        container: String,
        /// Its limit, in bytes.
        limit: Option<u64>,
        /// The most it used, in bytes.
        peak: Option<u64>,
    },
    /// A step or the whole job ran longer than it may.
    Timeout {
        /// The step that was running; none where the job's limit was reached between steps.
        step: Option<String>,
        /// The limit.
        limit: Millis,
    },
    /// A step wrote nothing for too long.
    NoOutput {
        /// The step.
        step: String,
    },
    /// Somebody cancelled it.
    Cancelled {
        /// Who.
        by: String,
        /// Why, in their words.
        why: String,
    },
    /// The config is invalid.
    Config {
        /// The config file.
        file: String,
        /// Line, from 1; 0 where the error has no place.
        line: u32,
        /// Column, from 1; 0 where the error has no place.
        column: u32,
        /// What is wrong there.
        #[serde(default)]
        message: String,
    },
    /// The job may not run here.
    NotAuthorised,
    /// The repository could not be read.
    Clone {
        /// git's own words.
        message: String,
        /// Whether trying again cannot help.
        certain: bool,
    },
    /// An image could not be pulled.
    ImagePull {
        /// The image.
        image: String,
        /// The registry's own words.
        message: String,
        /// Whether trying again cannot help.
        certain: bool,
    },
    /// The place could not be started.
    Start {
        /// The driver's own words.
        message: String,
        /// Whether trying again cannot help.
        certain: bool,
    },
    /// No agent or node could take it in time.
    Unschedulable {
        /// What was missing.
        message: String,
    },
    /// The job's secrets could not be read.
    Secrets {
        /// Why; never a value.
        message: String,
    },
    /// A quota, a policy or an admission webhook refused it.
    Admission {
        /// The refusal.
        message: String,
    },
    /// The node ran out of something and evicted it.
    Evicted {
        /// What ran out.
        resource: String,
    },
    /// Something more important took its node.
    Preempted,
    /// Its node is gone.
    NodeLost,
    /// Somebody or something deleted its place.
    Deleted {
        /// Who, where it is known; else `unknown`.
        by: String,
    },
    /// The container engine is gone.
    EngineLost,
    /// The task agent could not reach the server for so long that it had to stop its steps.
    ContactLost {
        /// How long, in seconds.
        seconds: u64,
    },
    /// A service container failed.
    Service {
        /// The service.
        name: String,
        /// `not_ready`, `ended` or `oom`.
        why: String,
        /// The end of its log.
        log_tail: String,
    },
    /// GOAT, or the sandbox around it, ended without a word.
    SupervisorLost {
        /// The signal that ended it, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// The task agent ended, or was silent, without a terminal record.
    TaskAgentLost {
        /// The signal that ended it, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// The container agent was silent before the task agent's first call.
    AgentLost,
    /// A disk is full.
    DiskFull {
        /// Which.
        r#where: String,
    },
    /// A probe of the platform ended it.
    Probe,
    /// Something of ours failed.
    Internal {
        /// What.
        message: String,
    },
}

/// Whether a cause of an infrastructure failure lets the job run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Yes: before the first `run` operation began, and after it with `retry: infra`.
    Yes,
    /// Yes, once the resource class's patience is over.
    AfterPatience,
    /// No.
    No,
}

impl Cause {
    /// The word on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exit { .. } => "exit",
            Self::Signal { .. } => "signal",
            Self::Oom { .. } => "oom",
            Self::Timeout { .. } => "timeout",
            Self::NoOutput { .. } => "no_output",
            Self::Cancelled { .. } => "cancelled",
            Self::Config { .. } => "config",
            Self::NotAuthorised => "not_authorised",
            Self::Clone { .. } => "clone",
            Self::ImagePull { .. } => "image_pull",
            Self::Start { .. } => "start",
            Self::Unschedulable { .. } => "unschedulable",
            Self::Secrets { .. } => "secrets",
            Self::Admission { .. } => "admission",
            Self::Evicted { .. } => "evicted",
            Self::Preempted => "preempted",
            Self::NodeLost => "node_lost",
            Self::Deleted { .. } => "deleted",
            Self::EngineLost => "engine_lost",
            Self::ContactLost { .. } => "contact_lost",
            Self::Service { .. } => "service",
            Self::SupervisorLost { .. } => "supervisor_lost",
            Self::TaskAgentLost { .. } => "task_agent_lost",
            Self::AgentLost => "agent_lost",
            Self::DiskFull { .. } => "disk_full",
            Self::Probe => "probe",
            Self::Internal { .. } => "internal",
        }
    }

    /// The outcome that this cause belongs to.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Exit { .. } | Self::Signal { .. } | Self::Oom { .. } => Outcome::Failed,
            Self::Config { .. } | Self::NotAuthorised => Outcome::Failed,
            Self::Timeout { .. } | Self::NoOutput { .. } => Outcome::TimedOut,
            Self::Cancelled { .. } => Outcome::Cancelled,
            _ => Outcome::InfraFailed,
        }
    }

    /// Whether an infrastructure failure of this cause lets the job run again.
    #[must_use]
    pub const fn requeue(&self) -> Requeue {
        match self {
            Self::Clone { certain, .. } | Self::ImagePull { certain, .. } | Self::Start { certain, .. } => {
                if *certain {
                    Requeue::No
                } else {
                    Requeue::Yes
                }
            }
            Self::Unschedulable { .. } => Requeue::AfterPatience,
            Self::Evicted { .. }
            | Self::Preempted
            | Self::NodeLost
            | Self::Deleted { .. }
            | Self::EngineLost
            | Self::ContactLost { .. }
            | Self::SupervisorLost { .. }
            | Self::TaskAgentLost { .. }
            | Self::AgentLost
            | Self::DiskFull { .. }
            | Self::Probe
            | Self::Internal { .. } => Requeue::Yes,
            _ => Requeue::No,
        }
    }

    /// One sentence for people: what happened. No full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Exit { code: 126 } => "a step's command could not be executed (exit code 126)".to_owned(),
            Self::Exit { code: 127 } => "a step's command was not found (exit code 127)".to_owned(),
            Self::Exit { code } => format!("a step exited with code {code}"),
            Self::Signal { n } => format!("a step was ended by signal {n}"),
            Self::Oom {
                container,
                limit,
                peak,
            } => {
                let limit = limit.map_or_else(String::new, |bytes| format!(", limit {bytes} bytes"));
                let peak = peak.map_or_else(String::new, |bytes| format!(", peak {bytes} bytes"));
                format!("the kernel ended a step for want of memory in {container}{limit}{peak}")
            }
            Self::Timeout {
                step: Some(step),
                limit,
            } => {
                format!("step `{step}` reached the limit of {} s", limit.0.div_ceil(1000))
            }
            Self::Timeout { step: None, limit } => {
                format!("the job reached its limit of {} s", limit.0.div_ceil(1000))
            }
            Self::NoOutput { step } => format!("step `{step}` wrote nothing for too long"),
            Self::Cancelled { by, why } if why.is_empty() => format!("cancelled by {by}"),
            Self::Cancelled { by, why } => format!("cancelled by {by}: {why}"),
            Self::Config {
                file,
                line: 0,
                message,
                ..
            } => format!("{file}: {message}"),
            Self::Config {
                file,
                line,
                column,
                message,
            } => format!("{file}:{line}:{column}: {message}"),
            Self::NotAuthorised => "not authorised to run here".to_owned(),
            Self::Clone { message, .. } => format!("the repository could not be cloned: {message}"),
            Self::ImagePull { image, message, .. } => format!("image {image} could not be pulled: {message}"),
            Self::Start { message, .. } => format!("the task's place could not be started: {message}"),
            Self::Unschedulable { message } => format!("nothing could take the job in time: {message}"),
            Self::Secrets { message } => format!("the job's secrets could not be read: {message}"),
            Self::Admission { message } => format!("the cluster refused the job: {message}"),
            Self::Evicted { resource } => format!("the node ran out of {resource} and evicted the job"),
            Self::Preempted => "something more important took the job's node".to_owned(),
            Self::NodeLost => "the job's node is gone".to_owned(),
            Self::Deleted { by } => format!("the job's place was deleted (by: {by})"),
            Self::EngineLost => "the container engine is gone".to_owned(),
            Self::ContactLost { seconds } => format!("the server could not be reached for {seconds} s"),
            Self::Service { name, why, .. } => format!("service {name} failed: {why}"),
            Self::SupervisorLost { signal } => {
                format!("the job's supervisor ended without a word{}", by_signal(*signal))
            }
            Self::TaskAgentLost { signal } => {
                format!(
                    "the task agent ended without a terminal record{}",
                    by_signal(*signal)
                )
            }
            Self::AgentLost => "the container agent was lost, and the job's place with it".to_owned(),
            Self::DiskFull { r#where } => format!("the disk of {where} is full", r#where = r#where),
            Self::Probe => "a probe of the platform ended the job".to_owned(),
            Self::Internal { message } => format!("internal failure: {message}"),
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Exit { .. } => "read the failing step's last lines",
            Self::Signal { .. } => "look for what sent the signal; 9 from outside is often a limit",
            Self::Oom { .. } => "give the job a larger resource class, or let it use less memory",
            Self::Timeout { .. } => "raise the limit, or make the step faster",
            Self::NoOutput { .. } => "raise no_output_timeout, or let the step print progress",
            Self::Cancelled { .. } => "run it again if it was not meant",
            Self::Config { .. } => "mend the config; `goatherd check FILE` shows all errors at once",
            Self::NotAuthorised => "ask an operator for the right to run here",
            Self::Clone { .. } => "check the repository's URL and credentials in the server's configuration",
            Self::ImagePull { .. } => "check the image's name and the registry's credentials",
            Self::Start { .. } => "do what the message says; the agent's log has more",
            Self::Unschedulable { .. } => "start an agent of this resource class, or free one",
            Self::Secrets { .. } => {
                "check `secrets_file` or `secrets_command` of the repository in the server's configuration"
            }
            Self::Admission { .. } => "raise the quota or change the policy that the message names",
            Self::Evicted { .. } => "request what the job really uses",
            Self::Preempted => "give the class a higher priority",
            Self::NodeLost | Self::EngineLost => "look at the machine; the job can run again",
            Self::Deleted { .. } => "find out who deletes the places of running jobs",
            Self::ContactLost { .. } => "check the network between the task and the server",
            Self::Service { .. } => "read the service's log",
            Self::SupervisorLost { .. } | Self::TaskAgentLost { .. } => {
                "look for an out-of-memory kill or a kill from outside on the machine"
            }
            Self::AgentLost => "look at the agent's machine and log",
            Self::DiskFull { .. } => "free space",
            Self::Probe => "look at the platform's probe settings",
            Self::Internal { .. } => "read the logs of server and agent, and report it",
        }
    }
}

fn by_signal(signal: Option<i32>) -> String {
    signal.map_or_else(String::new, |n| format!(" (signal {n})"))
}
