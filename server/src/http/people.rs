//! The people's API: pipelines, jobs, tokens, audit. Every call needs an admin token.

use api::people::{
    AuditEntry, CancelRequest, Cancelled, PipelineRequest, PipelineStarted, PipelineSummary, PipelineView,
    RepositoryView, RerunRequest, TokenRequest, TokenResponse,
};
use api::runner::presence::CancelOrder;
use api::runner::task::{Chunk, Content};
use api::{Outcome, PipelineId, PipelineOutcome, TaskId};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State as FromState};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use store::{Again, NewPipeline, Origin, Removed, Rerun, Store, StoreError, Which};

use super::State;
use super::answer::{Answer, Failure};
use super::body::{Decoded, Optional};
use super::caller::Admin;
use crate::git::is_commit;

/// How much of a log is read at once, in bytes.
const LOG_BATCH: usize = 256 * 1024;

/// Which pipelines a list shows.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default = "fifty")]
    limit: u32,
    /// Those whose id begins so.
    prefix: Option<String>,
    commit: Option<String>,
    repository: Option<String>,
}

const fn fifty() -> u32 {
    50
}

/// The newest pipelines.
pub(super) async fn pipelines(
    FromState(shared): State,
    _admin: Admin,
    Query(query): Query<Wanted>,
) -> Answer<Json<Vec<PipelineSummary>>> {
    let which = Which {
        prefix: query.prefix,
        commit: query.commit,
        repository: query.repository,
    };
    let found = shared.store.pipelines_which(which, query.limit.min(1000)).await?;
    Ok(Json(found))
}

/// Starts a pipeline by hand.
pub(super) async fn create(
    FromState(shared): State,
    _admin: Admin,
    Decoded(request): Decoded<PipelineRequest>,
) -> Answer<(StatusCode, Json<PipelineStarted>)> {
    let Some(repository) = shared.repository(&request.repository) else {
        return Err(Failure::not_found("the server does not know this repository"));
    };
    if !is_commit(&request.commit) {
        return Err(Failure::invalid(
            "`commit` is no commit in full, in lower-case hexadecimal digits",
        ));
    }
    if !is_reference(&request.reference) {
        return Err(Failure::invalid(
            "`reference` is no ref, such as `refs/heads/main`",
        ));
    }
    shared.takes_work()?;
    let pipeline = NewPipeline {
        repository: repository.name().to_owned(),
        commit: request.commit,
        reference: request.reference,
        jobs: request.jobs,
        actor: Admin::NAME.to_owned(),
        origin: Origin::Manual,
    };
    let pipeline = shared.store.create_pipeline(pipeline).await?;
    shared.wake.notify_one();
    Ok((StatusCode::CREATED, Json(PipelineStarted { pipeline })))
}

fn is_reference(text: &str) -> bool {
    let named = text == "HEAD" || text.strip_prefix("refs/").is_some_and(|rest| !rest.is_empty());
    named && text.len() <= 1024 && !text.contains("..") && !text.chars().any(|c| c.is_control() || c == ' ')
}

/// Runs a pipeline's commit again, as a new pipeline.
pub(super) async fn rerun(
    FromState(shared): State,
    _admin: Admin,
    Path(id): Path<PipelineId>,
    Optional(request): Optional<RerunRequest>,
) -> Answer<(StatusCode, Json<PipelineStarted>)> {
    shared.takes_work()?;
    let again = if request.unwrap_or_default().failed {
        Again::Unsuccessful
    } else {
        Again::All
    };
    match shared.store.rerun(&id, again, Admin::NAME).await? {
        Rerun::Started(pipeline) => {
            shared.wake.notify_one();
            Ok((StatusCode::CREATED, Json(PipelineStarted { pipeline })))
        }
        Rerun::NotFound => Err(Failure::not_found("there is no such pipeline")),
        Rerun::NotEnded => Err(Failure::conflict(
            "the pipeline still runs: wait for its end, or cancel it first",
        )),
        Rerun::NothingToDo => Err(Failure::conflict(
            "all jobs of the pipeline succeeded: there is nothing to run again but all of it",
        )),
    }
}

/// A pipeline with its jobs.
pub(super) async fn pipeline(
    FromState(shared): State,
    _admin: Admin,
    Path(id): Path<PipelineId>,
) -> Answer<Json<PipelineView>> {
    let view = shared.store.pipeline(&id).await?;
    view.map(Json)
        .ok_or_else(|| Failure::not_found("there is no such pipeline"))
}

/// Cancels all of a pipeline.
pub(super) async fn cancel_pipeline(
    FromState(shared): State,
    _admin: Admin,
    Path(id): Path<PipelineId>,
    Optional(request): Optional<CancelRequest>,
) -> Answer<Json<Cancelled<PipelineOutcome>>> {
    let cancelled = shared.store.cancel_pipeline(&id, order(request)).await?;
    cancelled
        .map(Json)
        .ok_or_else(|| Failure::not_found("there is no such pipeline"))
}

/// Cancels a job.
pub(super) async fn cancel_job(
    FromState(shared): State,
    _admin: Admin,
    Path(task): Path<TaskId>,
    Optional(request): Optional<CancelRequest>,
) -> Answer<Json<Cancelled<Outcome>>> {
    let cancelled = shared.store.cancel_job(&task, order(request)).await?;
    cancelled
        .map(Json)
        .ok_or_else(|| Failure::not_found("there is no such job"))
}

fn order(request: Option<CancelRequest>) -> CancelOrder {
    CancelOrder {
        by: Admin::NAME.to_owned(),
        why: request.map(|request| request.why).unwrap_or_default(),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    attempt: Option<u32>,
}

/// A job's output as its steps wrote it, as far as it is stored.
pub(super) async fn log(
    FromState(shared): State,
    _admin: Admin,
    Path(task): Path<TaskId>,
    Query(query): Query<Attempt>,
) -> Answer<Response> {
    let store = shared.store.clone();
    if store.pipeline_of(&task).await?.is_none() {
        return Err(Failure::not_found("there is no such job"));
    }
    if store.removed(&task, Removed::Logs).await?.is_some() {
        return Err(Failure::gone(
            "the logs of this pipeline were removed, as the server's retention says",
        ));
    }
    let pieces = stream::try_unfold((store, task, 0), move |(store, task, after)| async move {
        let chunks = store.job_output(&task, query.attempt, after, LOG_BATCH).await?;
        let Some(last) = chunks.last().map(|chunk| chunk.sequence) else {
            return Ok::<_, StoreError>(None::<(Bytes, (Store, TaskId, u64))>);
        };
        Ok(Some((text(chunks), (store, task, last))))
    });
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn text(chunks: Vec<Chunk>) -> Bytes {
    let mut text = Vec::new();
    for chunk in chunks {
        match chunk.content {
            Content::Bytes(bytes) => text.extend(bytes.0),
            Content::Lost(bytes) => text.extend(format!("\n[{bytes} bytes lost]\n").into_bytes()),
        }
    }
    text.into()
}

/// Makes a resource-class token.
pub(super) async fn create_token(
    FromState(shared): State,
    _admin: Admin,
    Decoded(request): Decoded<TokenRequest>,
) -> Answer<(StatusCode, Json<TokenResponse>)> {
    if request.resource_class.is_empty() || request.resource_class.chars().any(char::is_control) {
        return Err(Failure::invalid(
            "`resource_class` is empty or holds control characters",
        ));
    }
    let token = shared.store.create_class_token(&request, Admin::NAME).await?;
    let response = TokenResponse {
        token,
        resource_class: request.resource_class,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

#[derive(Debug, Deserialize)]
pub(super) struct AuditPage {
    #[serde(default)]
    after: u64,
    #[serde(default = "hundred")]
    limit: u32,
}

const fn hundred() -> u32 {
    100
}

/// The audit log, oldest first.
pub(super) async fn audit(
    FromState(shared): State,
    _admin: Admin,
    Query(page): Query<AuditPage>,
) -> Answer<Json<Vec<AuditEntry>>> {
    Ok(Json(shared.store.audit(page.after, page.limit.min(1000)).await?))
}

/// The repositories that the server knows.
pub(super) async fn repositories(FromState(shared): State, _admin: Admin) -> Json<Vec<RepositoryView>> {
    let view = |repository: &crate::config::Repository| RepositoryView {
        name: repository.name().to_owned(),
        clone_url: repository.clone_url().map(str::to_owned),
    };
    Json(shared.repositories.iter().map(view).collect())
}
