//! `run`: a command in a new shell.

use api::operation::{Operation, Step, When};

use super::{Body, Form, StepType, first_line};
use crate::check::{Checker, Schema};

/// The step type.
pub(super) const STEP: StepType = StepType {
    name: "run",
    schema: Schema {
        what: "`run`",
        keys: &[
            "command",
            "name",
            "when",
            "working_directory",
            "environment",
            "shell",
            "no_output_timeout",
        ],
        later: &["auto_rerun_delay", "background", "max_auto_reruns"],
    },
    lower,
};

fn lower(body: &Body<'_>, checker: &mut Checker<'_>) -> Option<Step> {
    let hint = "write `run: COMMAND` or `run: {command: COMMAND}`";
    let node = match &body.form {
        Form::Text(node) => Some(*node),
        Form::Word | Form::Fields(_) => body.get("command"),
    };
    let command = match node {
        Some(node) => checker
            .full_text(node, "the command of `run`")
            .map(|text| text.value),
        None => {
            body.missing("`run`", "command", hint, checker);
            None
        }
    };
    // The other keys are read in any case, so that all that is wrong with them is told at once.
    let default = || command.as_deref().map(first_line).unwrap_or_default();
    let name = body.name(default, checker);
    let when = body.when(When::OnSuccess, checker);
    let shell = body.line("shell", checker);
    let working_directory = body.line("working_directory", checker);
    let environment = body.get("environment").map(|node| checker.environment(node));
    let no_output_timeout = body
        .get("no_output_timeout")
        .and_then(|node| checker.duration(node, "`no_output_timeout`"));
    Some(Step {
        name,
        when,
        operation: Operation::Run {
            command: command?,
            shell,
            working_directory,
            environment: environment.unwrap_or_default(),
            no_output_timeout,
        },
    })
}
