//! The closed set of operations that the wire knows. A module each.

mod checkout;
mod git;
mod run;
mod upload;

use api::Cause;
use api::operation::{Operation, Step};

use crate::context::Context;
use crate::decide::Ending;

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It failed.
    Failed { ending: Ending, cause: Cause },
    /// The task was stopped; the control says why.
    Stopped { ending: Ending },
}

impl Failure {
    fn exit(code: i32) -> Self {
        Self::Failed {
            ending: Ending::code(code),
            cause: Cause::Exit { code },
        }
    }

    fn infrastructure(cause: Cause) -> Self {
        Self::Failed {
            ending: Ending::code(1),
            cause,
        }
    }
}

/// A step that is being carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Current<'task> {
    pub(crate) context: &'task Context,
    pub(crate) number: u32,
    pub(crate) step: &'task Step,
}

impl Current<'_> {
    /// Says a line of our own under this step.
    async fn say(&self, line: &str) {
        self.context.output.say(self.number, &format!("{line}\n")).await;
    }

    /// Says why it failed, in a sentence.
    async fn fail(&self, code: i32, sentence: &str) -> Failure {
        self.say(sentence).await;
        Failure::exit(code)
    }
}

/// Carries out a step.
pub(crate) async fn perform(current: Current<'_>) -> Result<(), Failure> {
    match &current.step.operation {
        Operation::Checkout { path } => checkout::checkout(current, path.as_deref()).await,
        Operation::Run {
            command,
            shell,
            working_directory,
            environment,
            no_output_timeout,
        } => {
            let command = run::Command {
                text: command,
                shell: shell.as_deref(),
                folder: working_directory.as_deref(),
                environment,
                silence: no_output_timeout.map(api::Millis::duration),
            };
            run::run(current, command).await
        }
        Operation::Upload { source, destination } => {
            upload::upload(current, source, destination.as_deref()).await
        }
        _ => Err(current.fail(1, "this task agent is too old for this step").await),
    }
}
