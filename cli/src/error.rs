//! How a command ends, and the one mapping to exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use api::{Cause, Outcome, PipelineOutcome};
use container_agent::AgentError;

use crate::commands::run::room;
use crate::snapshot::{self, Unusable};

/// A command that ended as it should, whatever came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All is well.
    Succeeded,
    /// A job failed, or the infrastructure did.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// The config is invalid; what is wrong was printed.
    ConfigInvalid,
    /// A limit of time was reached.
    TimedOut,
}

impl Ending {
    /// How a command ends that saw a job through.
    pub(crate) const fn of_job(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed | Outcome::InfraFailed | Outcome::Skipped => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::TimedOut => Self::TimedOut,
        }
    }

    /// How a command ends that saw a pipeline through.
    pub(crate) fn of(outcome: PipelineOutcome, cause: Option<&Cause>) -> Self {
        match (outcome, cause) {
            (PipelineOutcome::Failed, Some(Cause::Config { .. })) => Self::ConfigInvalid,
            (PipelineOutcome::Succeeded, _) => Self::Succeeded,
            (PipelineOutcome::Failed | PipelineOutcome::InfraFailed, _) => Self::Failed,
            (PipelineOutcome::Cancelled, _) => Self::Cancelled,
            (PipelineOutcome::TimedOut, _) => Self::TimedOut,
        }
    }
}

/// A command that could not do what it is for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A newer process took over an agent's work; whoever starts agents must not start this one again.
    #[error(transparent)]
    Replaced(AgentError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// The cause of a pipeline that has no end of its own because of this; none where the command line is wrong.
    pub(crate) fn to_cause(&self) -> Option<Cause> {
        let error = match self {
            Self::Usage(_) => return None,
            Self::Replaced(error) => {
                let message = error.to_string();
                return Some(Cause::Internal { message });
            }
            Self::Other(error) => error,
        };
        let message = format!("{error:#}");
        let full = |folder: PathBuf| Cause::DiskFull {
            r#where: folder.display().to_string(),
        };
        Some(if let Some(found) = error.downcast_ref::<Unusable>() {
            Cause::Config {
                file: found.file.to_owned(),
                line: 0,
                column: 0,
                message,
            }
        } else if let Some(found) = error.downcast_ref::<room::Full>() {
            full(found.folder.clone())
        } else if error.is::<snapshot::Full>() {
            full(std::env::temp_dir())
        } else {
            Cause::Internal { message }
        })
    }

    /// The command line makes no sense.
    pub(crate) fn usage(why: impl Into<String>) -> Self {
        Self::Usage(why.into())
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Replaced { .. } => Self::Replaced(error),
            error => Self::Other(error.into()),
        }
    }
}

/// The exit code. clap ends by itself with 2 for a command line that it cannot read.
pub(crate) fn exit_code(result: &Result<Ending, Failure>) -> ExitCode {
    ExitCode::from(match result {
        Ok(Ending::Succeeded) => 0,
        Err(Failure::Other(error)) if error.is::<Unusable>() => 7,
        Ok(Ending::Failed) | Err(Failure::Other(_)) => 1,
        Err(Failure::Usage(_)) => 2,
        Err(Failure::Replaced(_)) => 5,
        Ok(Ending::Cancelled) => 6,
        Ok(Ending::ConfigInvalid) => 7,
        Ok(Ending::TimedOut) => 8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipelines_end_is_told_by_its_outcome_and_an_invalid_config_by_its_cause() {
        let config = Cause::Config {
            file: ".ci.yml".to_owned(),
            line: 1,
            column: 1,
            message: String::new(),
        };

        for (outcome, cause, ending) in [
            (PipelineOutcome::Succeeded, None, Ending::Succeeded),
            (PipelineOutcome::Failed, None, Ending::Failed),
            (PipelineOutcome::InfraFailed, None, Ending::Failed),
            (PipelineOutcome::Cancelled, None, Ending::Cancelled),
            (PipelineOutcome::TimedOut, None, Ending::TimedOut),
            (PipelineOutcome::Failed, Some(&config), Ending::ConfigInvalid),
        ] {
            assert_eq!(Ending::of(outcome, cause), ending);
        }
    }
}
