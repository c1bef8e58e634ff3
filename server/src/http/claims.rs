//! What container agents ask: `claim`, `presence`, `adopt`, `attempts/status`.

use api::runner::claim::ClaimRequest;
use api::runner::presence::{
    AdoptRequest, AdoptResponse, PresenceRequest, PresenceResponse, Standing, StatusRequest, StatusResponse,
    Whose,
};
use axum::Json;
use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::answer::Answer;
use super::body::Decoded;
use super::caller::Agent;
use super::{State, poll};

/// A claim, or 204 once there was none for long enough; that closes the nonce.
pub(super) async fn claim(
    FromState(shared): State,
    agent: Agent,
    Decoded(request): Decoded<ClaimRequest>,
) -> Answer<Response> {
    let ask = || async { Ok(shared.store.claim(&agent.class, &request).await??) };
    let claimed = poll::until_news(&shared, request.wait, ask, Option::is_some).await?;
    let claimed = match claimed {
        Some(claim) => Some(claim),
        None => shared.store.close_nonce(&agent.class, &request).await??,
    };
    Ok(match claimed {
        Some(claim) => Json(claim).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// How the listed attempts stand, as soon as something about them is news.
pub(super) async fn presence(
    FromState(shared): State,
    agent: Agent,
    Decoded(request): Decoded<PresenceRequest>,
) -> Answer<Json<PresenceResponse>> {
    let ask = || async { Ok(shared.store.presence(&agent.class, &request).await??) };
    let response =
        poll::until_news(&shared, request.wait, ask, |response| is_news(&request, response)).await?;
    Ok(Json(response))
}

/// Whether an agent does not know yet what the answer says.
fn is_news(request: &PresenceRequest, response: &PresenceResponse) -> bool {
    let told = |standing: &Standing| {
        let seen = request
            .holds
            .iter()
            .any(|held| held.attempt == standing.attempt && held.cancel_seen);
        standing.whose != Whose::Yours || (standing.cancel.is_some() && !seen)
    };
    (response.drain && !request.draining) || response.attempts.iter().any(told)
}

/// Takes over places.
pub(super) async fn adopt(
    FromState(shared): State,
    agent: Agent,
    Decoded(request): Decoded<AdoptRequest>,
) -> Answer<Json<AdoptResponse>> {
    Ok(Json(shared.store.adopt(&agent.class, &request).await??))
}

/// Which attempts live.
pub(super) async fn status(
    FromState(shared): State,
    agent: Agent,
    Decoded(request): Decoded<StatusRequest>,
) -> Answer<Json<StatusResponse>> {
    Ok(Json(shared.store.attempts_status(&agent.class, &request).await??))
}
