//! Reports from beside the task: unclaim, fail, phase, cause.

use api::{AttemptRef, Cause, Phase};
use queue::{Call, Refusal, Reporter};

use super::change::Change;
use super::{agents, jobs};
use crate::error::StoreError;

/// Gives an attempt back.
pub(crate) fn unclaim(
    change: &mut Change<'_>,
    from: &Reporter,
    attempt: &AttemptRef,
    message: String,
) -> Result<Result<(), Refusal>, StoreError> {
    let detail = message.clone();
    let by = from.clone();
    report(change, from, attempt, Call::Unclaim { by, message }, &detail)
}

/// Reports an infrastructure failure.
pub(crate) fn fail(
    change: &mut Change<'_>,
    from: &Reporter,
    attempt: &AttemptRef,
    message: String,
) -> Result<Result<(), Refusal>, StoreError> {
    let detail = message.clone();
    let by = from.clone();
    report(change, from, attempt, Call::Fail { by, message }, &detail)
}

/// Reports a phase.
pub(crate) fn phase(
    change: &mut Change<'_>,
    from: &Reporter,
    attempt: &AttemptRef,
    phase: Phase,
    detail: &str,
) -> Result<Result<(), Refusal>, StoreError> {
    let by = from.clone();
    report(change, from, attempt, Call::Phase { by, phase }, detail)
}

/// Reports a cause, or that the place is gone.
pub(crate) fn cause(
    change: &mut Change<'_>,
    from: &Reporter,
    attempt: &AttemptRef,
    cause: Option<Cause>,
    place_removed: bool,
) -> Result<Result<(), Refusal>, StoreError> {
    let call = Call::Cause {
        by: from.clone(),
        cause,
        place_removed,
    };
    report(change, from, attempt, call, "")
}

/// An agent is heard before what it says is judged.
fn report(
    change: &mut Change<'_>,
    from: &Reporter,
    attempt: &AttemptRef,
    call: Call,
    detail: &str,
) -> Result<Result<(), Refusal>, StoreError> {
    if let Reporter::Agent { holder, .. } = from
        && let Err(refusal) = agents::hear_known(change, holder)?
    {
        return Ok(Err(refusal));
    }
    jobs::call(change, attempt, call, detail)
}
