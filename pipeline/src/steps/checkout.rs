//! `checkout`: puts the commit into a folder.

use api::operation::{Operation, Step, When};

use super::{Body, Form, StepType};
use crate::check::{Checker, Schema};

/// The step type.
pub(super) const STEP: StepType = StepType {
    name: "checkout",
    schema: Schema {
        what: "`checkout`",
        keys: &["path", "name", "when"],
        later: &["method"],
    },
    lower,
};

fn lower(body: &Body<'_>, checker: &mut Checker<'_>) -> Option<Step> {
    if let Form::Text(node) = body.form {
        checker.wrong_type(
            node,
            "`checkout`",
            "a word or a mapping",
            Some("write `checkout: {path: FOLDER}`"),
        );
        return None;
    }
    Some(Step {
        name: body.name(|| "checkout".to_owned(), checker),
        when: body.when(When::OnSuccess, checker),
        operation: Operation::Checkout {
            path: body.line("path", checker),
        },
    })
}
