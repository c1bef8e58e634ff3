//! Whether the server lives and can work. Nobody needs a token for this, and it says nothing else.

use std::time::Duration;

use axum::Json;
use axum::extract::State as FromState;
use serde::Serialize;

use super::State;
use super::answer::{Answer, Failure};

/// The longest that the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    /// What does not work, where something does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

const OK: Json<Health> = Json(Health {
    status: "OK",
    reason: None,
});

/// The server answers.
pub(super) async fn live() -> Json<Health> {
    OK
}

/// The server works: its store answers and it is not stopping. With too little room on the disk it still does, for
/// what runs, and so whoever asks must not keep calls from it.
pub(super) async fn ready(FromState(shared): State) -> Answer<Json<Health>> {
    if shared.stopping.is_cancelled() {
        return Err(Failure::unavailable("the server is stopping"));
    }
    match tokio::time::timeout(PATIENCE, shared.store.pipelines(1)).await {
        Ok(Ok(_)) => Ok(shared.room.low().map_or(OK, |low| {
            Json(Health {
                status: "DEGRADED",
                reason: Some(low.to_string()),
            })
        })),
        Ok(Err(_)) | Err(_) => Err(Failure::unavailable("the store does not answer")),
    }
}
