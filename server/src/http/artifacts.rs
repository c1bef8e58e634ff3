//! Artifacts: streamed in by task agents, streamed out to people and task agents.

use std::io;

use api::people::ArtifactView;
use api::runner::SHA256_HEADER;
use api::{AttemptRef, TaskId};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State as FromState};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use store::Removed;
use tokio_util::io::ReaderStream;

use super::answer::{Answer, Failure};
use super::body;
use super::caller::{Admin, Place};
use super::reports::Done;
use super::{Shared, State};
use crate::artifacts::{ArtifactError, discard, is_safe_name, is_sha256};

/// Takes an artifact. It is known only once it is on disk whole, as its sender announced it.
pub(super) async fn put(
    FromState(shared): State,
    place: Place,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Json<Done>> {
    let name = safe_name(name)?;
    let (parts, content) = request.into_parts();
    let sha256 = announced(&parts.headers)?;
    // Before a byte is written: an attempt that is over must not fill the disk.
    let _order = shared
        .store
        .heartbeat(&place.attempt, place.instance.clone())
        .await??;
    let length = body::announced(&parts.headers).and_then(|length| u64::try_from(length).ok());
    if length.is_some_and(|length| length <= shared.largest_artifact && !shared.room.fits(length)) {
        discard(content.into_data_stream()).await;
        return Err(Failure::disk_full());
    }
    let size = shared
        .artifacts
        .receive(&place.attempt, content, &sha256, shared.largest_artifact)
        .await?;
    shared
        .store
        .add_artifact(&place.attempt, place.instance, &name, size, &sha256)
        .await??;
    Ok(Json(Done {}))
}

fn safe_name(name: String) -> Answer<String> {
    if is_safe_name(&name) {
        Ok(name)
    } else {
        Err(Failure::invalid(
            "an artifact's name is a relative path without `.`, `..`, empty parts, backslashes and control characters",
        ))
    }
}

fn announced(headers: &HeaderMap) -> Answer<String> {
    let value = headers.get(SHA256_HEADER).and_then(|value| value.to_str().ok());
    match value {
        Some(sum) if is_sha256(sum) => Ok(sum.to_owned()),
        _ => Err(Failure::invalid(format!(
            "the call needs the body's SHA-256 in `{SHA256_HEADER}`, in lower-case hexadecimal digits"
        ))),
    }
}

/// Gives a job's artifact to people.
pub(super) async fn get(
    FromState(shared): State,
    _admin: Admin,
    Path((task, name)): Path<(TaskId, String)>,
) -> Answer<Response> {
    // First: what is being removed is not given any more, however much of it is there still.
    if shared.store.removed(&task, Removed::Artifacts).await?.is_some() {
        return Err(Failure::gone(
            "the artifacts of this pipeline were removed, as the server's retention says",
        ));
    }
    match shared.store.artifact(&task, &name).await? {
        Some((attempt, artifact)) => send(&shared, &attempt, &artifact).await,
        None => Err(Failure::not_found("there is no such artifact")),
    }
}

/// Gives an attempt's own artifact to its task agent.
pub(super) async fn get_own(
    FromState(shared): State,
    place: Place,
    Path(name): Path<String>,
) -> Answer<Response> {
    match shared.store.artifact(&place.attempt.task, &name).await? {
        Some((attempt, artifact)) if attempt == place.attempt => send(&shared, &attempt, &artifact).await,
        _ => Err(Failure::not_found("there is no such artifact")),
    }
}

async fn send(shared: &Shared, attempt: &AttemptRef, artifact: &ArtifactView) -> Answer<Response> {
    let file = shared
        .artifacts
        .read(attempt, &artifact.sha256)
        .await
        .map_err(|error| {
            tracing::error!(%attempt, artifact.name, %error, "an artifact that is known cannot be read");
            Failure::internal()
        })?;
    let mut response = Body::from_stream(ReaderStream::new(file)).into_response();
    let headers = response.headers_mut();
    // Whatever a job wrote is only a file: no browser may take it for a page of the server.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(artifact.size));
    insert(headers, CONTENT_DISPOSITION, &disposition(&artifact.name))?;
    insert(
        headers,
        HeaderName::from_bytes(SHA256_HEADER.as_bytes()).map_err(|_| Failure::internal())?,
        &artifact.sha256,
    )?;
    Ok(response)
}

fn disposition(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    format!(
        "attachment; filename*=UTF-8''{}",
        utf8_percent_encode(last, NON_ALPHANUMERIC)
    )
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Answer<()> {
    let value = HeaderValue::from_str(value).map_err(|_| Failure::internal())?;
    headers.insert(name, value);
    Ok(())
}

impl From<ArtifactError> for Failure {
    fn from(error: ArtifactError) -> Self {
        match &error {
            ArtifactError::Checksum { .. } | ArtifactError::Broken => Self::invalid(error.to_string()),
            ArtifactError::TooLarge { .. } => Self::too_large(error.to_string()),
            ArtifactError::Disk(disk) if is_full(disk) => Self::disk_full(),
            ArtifactError::Disk(_) => {
                tracing::error!(error = super::chain(&error), "an artifact could not be kept");
                Self::internal()
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
