//! Reports from beside the task: `unclaim`, `fail`, `phase`, `cause`.

use api::AttemptRef;
use api::runner::report::{CauseRequest, FailRequest, PhaseRequest, UnclaimRequest};
use axum::Json;
use axum::extract::State as FromState;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::State;
use super::answer::{Answer, Failure};
use super::body::Decoded;
use super::caller::Caller;
use crate::auth::Runner;

/// An answer that says nothing but yes.
#[derive(Debug, Serialize)]
pub(super) struct Done {}

/// Gives an attempt back.
pub(super) async fn unclaim(
    FromState(shared): State,
    caller: Caller,
    Decoded(request): Decoded<UnclaimRequest>,
) -> Answer<Json<Done>> {
    let attempt = match &caller.runner {
        Runner::Place { attempt } => own_attempt(attempt, &request)?,
        Runner::Agent { .. } => request
            .attempt
            .clone()
            .ok_or_else(|| Failure::invalid("an agent must name the attempt"))?,
    };
    let reporter = caller.reporter(&attempt, request.holder)?;
    let message = request.message.unwrap_or_default();
    shared.store.unclaim(reporter, &attempt, message).await??;
    Ok(Json(Done {}))
}

/// The attempt that GOAT speaks of: its token's. The task id in the body can only agree with it.
fn own_attempt(own: &AttemptRef, request: &UnclaimRequest) -> Answer<AttemptRef> {
    if request.task_id == own.task.as_str() && request.attempt.as_ref().is_none_or(|attempt| attempt == own) {
        Ok(own.clone())
    } else {
        Err(Failure::forbidden("this task token is for another task"))
    }
}

/// Reports an infrastructure failure.
pub(super) async fn fail(
    FromState(shared): State,
    caller: Caller,
    Decoded(request): Decoded<FailRequest>,
) -> Answer<Json<Done>> {
    let attempt = attempt_of(&request.allocation)?;
    let reporter = caller.reporter(&attempt, request.holder)?;
    let message = STANDARD
        .decode(&request.message)
        .map_err(|_| Failure::invalid("`message` is no base64"))?;
    let message = String::from_utf8_lossy(&message).into_owned();
    shared.store.fail(reporter, &attempt, message).await??;
    Ok(Json(Done {}))
}

fn attempt_of(allocation: &str) -> Answer<AttemptRef> {
    allocation
        .parse()
        .map_err(|error| Failure::invalid(format!("`allocation`: {error}")))
}

/// Reports how far an attempt is.
pub(super) async fn phase(
    FromState(shared): State,
    caller: Caller,
    Decoded(request): Decoded<PhaseRequest>,
) -> Answer<Json<Done>> {
    let reporter = caller.reporter(&request.attempt, request.holder)?;
    shared
        .store
        .phase(reporter, &request.attempt, request.phase, request.detail)
        .await??;
    Ok(Json(Done {}))
}

/// Tells the cause of an infrastructure failure, that the place is gone, or both.
pub(super) async fn cause(
    FromState(shared): State,
    caller: Caller,
    Decoded(request): Decoded<CauseRequest>,
) -> Answer<Json<Done>> {
    let reporter = caller.reporter(&request.attempt, request.holder)?;
    shared
        .store
        .cause(reporter, &request.attempt, request.cause, request.place_removed)
        .await??;
    Ok(Json(Done {}))
}
