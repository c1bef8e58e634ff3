//! Answers that are no success: one body for all of them.

use std::error::Error;

use api::runner::{ApiError, ErrorCode};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use store::{Refusal, StoreError};

use crate::room::Low;

/// Why a call gets no success.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    error: ApiError,
    disk_is_full: bool,
}

/// Marks an answer to what could not be stored for want of room.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskIsFull;

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, Failure>;

impl Failure {
    /// With a word for programs and a sentence for people.
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            error: ApiError {
                code,
                message: message.into(),
                first_missing: None,
            },
            disk_is_full: false,
        }
    }

    /// 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::Invalid, message)
    }

    /// 401.
    pub(crate) fn unauthorised(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorised, message)
    }

    /// 403.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message)
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
    }

    /// 413.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, message)
    }

    /// 500. What exactly failed is in the log and not told to the caller.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Internal,
            "the server failed; its log says why",
        )
    }

    /// 503.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
    }

    /// 507, before the disk is full.
    pub(crate) fn disk_low(low: Low) -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::InsufficientStorage,
            low.to_string(),
        )
    }

    /// 409.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ErrorCode::Conflict, message)
    }

    /// 410.
    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, ErrorCode::Gone, message)
    }

    /// 507.
    pub(crate) fn disk_full() -> Self {
        Self {
            disk_is_full: true,
            ..Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                ErrorCode::InsufficientStorage,
                "the server's disk is full",
            )
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        if self.disk_is_full {
            response.extensions_mut().insert(DiskIsFull);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Gone => Self::new(StatusCode::GONE, ErrorCode::Gone, message),
            Refusal::Cancelling => Self::new(StatusCode::CONFLICT, ErrorCode::Cancelling, message),
            Refusal::RetriesExhausted => {
                Self::new(StatusCode::CONFLICT, ErrorCode::RetriesExhausted, message)
            }
            Refusal::OutputMissing { first } => {
                let mut failure = Self::new(StatusCode::CONFLICT, ErrorCode::OutputMissing, message);
                failure.error.first_missing = Some(first);
                failure
            }
            Refusal::Conflict(_) => Self::new(StatusCode::CONFLICT, ErrorCode::Conflict, message),
            Refusal::Forbidden(_) => Self::forbidden(message),
            Refusal::Invalid(_) => Self::invalid(message),
            Refusal::NotFound => Self::not_found(message),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::disk_full(),
            StoreError::Closed => Self::unavailable("the server is stopping"),
            StoreError::NoPipeline(_) => Self::not_found(error.to_string()),
            error => {
                tracing::error!(error = chain(&error), "the store failed");
                Self::internal()
            }
        }
    }
}

/// An error with all its causes, for the log.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
