//! Sending: one call, its deadline, and when it is sent again.

use std::time::{Duration, Instant};

use api::goat::INSTANCE_HEADER;
use api::runner::{ApiError, ErrorCode};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError};

/// The first pause before a call is sent again.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one of several tries may take: a connection that nobody serves is not waited for to the end.
const LONGEST_TRY: Duration = Duration::from_secs(20);
/// The most that is read of an answer that is no success.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// One try, answered within this time.
    Once(Duration),
    /// Tries until one is answered or this time is over. 5xx, 429, transport errors and 20 seconds without an answer
    /// are tried again, with exponential pauses and jitter.
    Within(Duration),
}

impl Client {
    /// Sends a JSON body, and reads a JSON answer; none where the answer is 204.
    pub(crate) async fn post<B, T>(
        &self,
        path: &str,
        body: &B,
        effort: Effort,
    ) -> Result<Option<T>, ClientError>
    where
        B: Serialize + Sync + ?Sized,
        T: DeserializeOwned,
    {
        let response = self
            .send(effort, || self.request(Method::POST, path).json(body))
            .await?;
        read(response).await
    }

    /// Sends a JSON body; the answer's body does not matter.
    pub(crate) async fn tell<B>(&self, path: &str, body: &B, effort: Effort) -> Result<(), ClientError>
    where
        B: Serialize + Sync + ?Sized,
    {
        self.send(effort, || self.request(Method::POST, path).json(body))
            .await
            .map(drop)
    }

    /// Gets a JSON answer.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        effort: Effort,
    ) -> Result<Option<T>, ClientError> {
        let response = self.send(effort, || self.request(Method::GET, path)).await?;
        read(response).await
    }

    /// A request with this client's token and instance.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(instance) = &self.instance {
            request = request.header(INSTANCE_HEADER, instance.as_str());
        }
        request
    }

    /// Sends what `make` makes, again and again where `effort` allows it.
    async fn send(
        &self,
        effort: Effort,
        make: impl Fn() -> RequestBuilder + Send,
    ) -> Result<Response, ClientError> {
        let (limit, longest_try, again) = match effort {
            Effort::Once(limit) => (limit, limit, false),
            Effort::Within(limit) => (limit, LONGEST_TRY, true),
        };
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let error = match tokio::time::timeout(left.min(longest_try), attempt(make())).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => error,
                Err(_) => ClientError::Deadline(limit),
            };
            let next = jitter(pause);
            if !again || !error.may_pass() || start.elapsed() + next >= limit {
                return Err(error);
            }
            tracing::debug!(error = %error.chain(), "a call failed and is sent again");
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// One try.
pub(crate) async fn attempt(request: RequestBuilder) -> Result<Response, ClientError> {
    let response = request.send().await.map_err(ClientError::of_transport)?;
    let status = response.status();
    if status.is_success() {
        Ok(response)
    } else {
        Err(refusal(status, response).await)
    }
}

/// What the server said, whoever answered in its place.
async fn refusal(status: StatusCode, mut response: Response) -> ClientError {
    let mut body = Vec::new();
    // Whoever answers may never come to an end.
    while let Ok(Some(part)) = response.chunk().await
        && body.len() < LONGEST_REFUSAL
    {
        body.extend_from_slice(&part);
    }
    body.truncate(LONGEST_REFUSAL);
    let error = serde_json::from_slice(&body).unwrap_or_else(|_| ApiError {
        code: fallback_code(status),
        message: String::from_utf8_lossy(&body).chars().take(200).collect(),
        first_missing: None,
    });
    ClientError::Refused {
        status: status.as_u16(),
        error,
    }
}

/// A code for an answer that names none: a proxy's, or an older server's.
fn fallback_code(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        401 => ErrorCode::Unauthorised,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        409 => ErrorCode::Conflict,
        410 => ErrorCode::Gone,
        413 => ErrorCode::TooLarge,
        503 => ErrorCode::Unavailable,
        507 => ErrorCode::InsufficientStorage,
        code if code >= 500 => ErrorCode::Internal,
        _ => ErrorCode::Invalid,
    }
}

pub(crate) async fn read<T: DeserializeOwned>(response: Response) -> Result<Option<T>, ClientError> {
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    let body = response
        .bytes()
        .await
        .map_err(|error| ClientError::Transport(error.without_url()))?;
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(ClientError::Answer)
}

/// Between half of a pause and all of it, so that many clients do not come back at once.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    pause.div_f64(2.0) + pause.mul_f64(share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_between_half_of_it_and_all_of_it() {
        for _ in 0..1000 {
            let pause = jitter(FIRST_PAUSE);

            assert!(pause >= FIRST_PAUSE / 2 && pause <= FIRST_PAUSE, "{pause:?}");
        }
    }
}
