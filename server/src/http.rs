//! HTTP: decode a call, call the store, encode the answer. One file a resource.

mod answer;
mod artifacts;
mod body;
mod caller;
mod claims;
mod events;
mod git;
mod health;
mod people;
mod poll;
mod reports;
mod task;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::runner::path;
use api::{Millis, Secret};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::routing::{get, post, put};
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

pub(crate) use answer::chain;

use crate::artifacts::Artifacts;
use crate::auth::Auth;
use crate::config::{Hook, Repository};
use crate::git::Mirrors;
use crate::room::Room;
use crate::secrets::Secrets;
use answer::{DiskIsFull, Failure};

/// What the calls work with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) auth: Auth,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) repositories: Arc<[Repository]>,
    /// For every task, over its own.
    pub(crate) extra_environment: BTreeMap<String, String>,
    /// For every task that may have secrets, over its own.
    pub(crate) extra_secrets: BTreeMap<String, Secret>,
    pub(crate) artifacts: Artifacts,
    pub(crate) room: Arc<Room>,
    pub(crate) largest_artifact: u64,
    pub(crate) mirrors: Arc<Mirrors>,
    pub(crate) secrets: Secrets,
    /// The longest that a call may wait for news.
    pub(crate) longest_poll: Millis,
    /// Tells the compiler that there is a new pipeline.
    pub(crate) wake: Arc<Notify>,
    /// Set when the server stops: calls that wait answer what they have.
    pub(crate) stopping: CancellationToken,
    /// How many MiB of webhook bodies may be in memory at once: whoever sends them has shown no secret yet.
    pub(crate) webhook_space: Semaphore,
}

impl Shared {
    /// Refuses new work while the disk has too little room for what runs already.
    fn takes_work(&self) -> answer::Answer<()> {
        self.room.low().map_or(Ok(()), |low| Err(Failure::disk_low(low)))
    }

    /// The repository of this name. Providers do not tell upper from lower case in names.
    fn repository(&self, name: &str) -> Option<&Repository> {
        let mut known = self.repositories.iter();
        known.find(|repository| repository.name().eq_ignore_ascii_case(name))
    }
}

type State = axum::extract::State<Arc<Shared>>;

/// Every call that the server knows.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .merge(runner())
        .merge(people())
        .route("/webhook", post(webhook::any))
        .route("/webhook/{hook}", post(webhook::one))
        .route("/git/{*path}", get(git::get).post(git::post))
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(map_response_with_state(Arc::clone(&shared), note_a_full_disk))
        .with_state(shared)
}

fn runner() -> Router<Arc<Shared>> {
    let artifact = format!("{}{{*name}}", path::ARTIFACTS);
    Router::new()
        .route(path::CLAIM, post(claims::claim))
        .route(path::PRESENCE, post(claims::presence))
        .route(path::ADOPT, post(claims::adopt))
        .route(path::ATTEMPTS_STATUS, post(claims::status))
        .route(path::UNCLAIM, post(reports::unclaim))
        .route(path::FAIL, post(reports::fail))
        .route(path::PHASE, post(reports::phase))
        .route(path::CAUSE, post(reports::cause))
        .route(path::TASK, get(task::fetch))
        .route(path::HEARTBEAT, post(task::heartbeat))
        .route(path::OUTPUT, post(task::output))
        .route(path::STEP, post(task::step))
        .route(path::FINISH, post(task::finish))
        .route(&artifact, put(artifacts::put).get(artifacts::get_own))
}

fn people() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/pipelines", get(people::pipelines).post(people::create))
        .route("/api/v1/pipelines/{id}", get(people::pipeline))
        .route("/api/v1/pipelines/{id}/cancel", post(people::cancel_pipeline))
        .route("/api/v1/pipelines/{id}/rerun", post(people::rerun))
        .route("/api/v1/pipelines/{id}/events", get(events::follow))
        .route("/api/v1/jobs/{task}/log", get(people::log))
        .route("/api/v1/jobs/{task}/cancel", post(people::cancel_job))
        .route("/api/v1/jobs/{task}/artifacts/{*name}", get(artifacts::get))
        .route("/api/v1/tokens", post(people::create_token))
        .route("/api/v1/audit", get(people::audit))
        .route("/api/v1/repositories", get(people::repositories))
}

/// However many calls find no room, it is said once.
async fn note_a_full_disk(shared: State, response: Response) -> Response {
    if response.extensions().get::<DiskIsFull>().is_some() {
        shared.room.full();
    }
    response
}

async fn unknown() -> Failure {
    Failure::not_found("there is nothing at this path")
}

async fn wrong_method() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        api::runner::ErrorCode::Invalid,
        "this path does not know this method",
    )
}
