//! `upload`: a file, or a folder's files, to the artifacts.
//!
//! It runs after a failure too, unless `when` says otherwise: what a failed job left behind is what people
//! look for.

use api::operation::{Operation, Step, When};

use super::{Body, Form, StepType};
use crate::check::{Checker, Schema};
use crate::diagnostic::{Code, Problem, quote};

/// The step type.
pub(super) const STEP: StepType = StepType {
    name: "upload",
    schema: Schema {
        what: "`upload`",
        keys: &["source", "destination", "name", "when"],
        later: &[],
    },
    lower,
};

fn lower(body: &Body<'_>, checker: &mut Checker<'_>) -> Option<Step> {
    if let Form::Text(node) = body.form {
        let path = node.text().unwrap_or("").trim();
        let hint = format!("write `upload: {{source: {path}}}`");
        checker.wrong_type(node, "`upload`", "a mapping", Some(&hint));
        return None;
    }
    let source = body.line("source", checker);
    if body.get("source").is_none() {
        let hint = "write `upload: {source: PATH}`";
        body.missing("`upload`", "source", hint, checker);
    }
    let destination = body.line("destination", checker);
    if let (Some(name), Some(node)) = (&destination, body.get("destination"))
        && !stays_inside(name)
    {
        let message = format!("the destination {} leaves the job's artifacts", quote(name));
        let problem = Problem::error(Code::BadValue, node.span, message);
        checker.report(problem.suggest("write a relative path without `..`: `reports/unit`"));
    }
    let default = || {
        source
            .as_deref()
            .map(|path| format!("upload {path}"))
            .unwrap_or_default()
    };
    let name = body.name(default, checker);
    let when = body.when(When::Always, checker);
    Some(Step {
        name,
        when,
        operation: Operation::Upload {
            source: source?,
            destination,
        },
    })
}

/// Whether a path is relative and never goes up.
fn stays_inside(path: &str) -> bool {
    !path.starts_with(['/', '\\', '~']) && path.split(['/', '\\']).all(|part| part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_may_not_leave_the_artifacts() {
        for path in ["a", "a/b", "a..b/c", "."] {
            assert!(stays_inside(path), "{path}");
        }
        for path in ["/a", "..", "a/../b", "~/x", "\\a", "a\\..\\b"] {
            assert!(!stays_inside(path), "{path}");
        }
    }
}
