//! Bodies: read whole, within a size and a time, before anything of them is looked at.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Failure};

/// The longest that a body may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How much of a body that is too large is still read. A sender that only writes would never see the answer
/// on a connection that is closed under it.
const DISCARDED: usize = 64 * 1024 * 1024;
/// The largest body of most calls.
pub(super) const ORDINARY: usize = 4 * 1024 * 1024;
/// The largest body of calls that carry output.
pub(super) const OUTPUT: usize = 32 * 1024 * 1024;

/// A JSON body of at most so many bytes. What it says it is does not matter, only what it is.
#[derive(Debug)]
pub(super) struct Decoded<T, const LARGEST: usize = ORDINARY>(pub(super) T);

impl<T: DeserializeOwned, S: Sync, const LARGEST: usize> FromRequest<S> for Decoded<T, LARGEST> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, LARGEST).await?;
        decode(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct Optional<T>(pub(super) Option<T>);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Optional<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, ORDINARY).await?;
        if bytes.is_empty() {
            Ok(Self(None))
        } else {
            decode(&bytes).map(|value| Self(Some(value)))
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::invalid(format!("the body is not as it should be: {error}")))
}

/// How long a body is, where its sender says so; HTTP sees to it that it is no longer.
pub(super) fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body.
pub(super) async fn read(headers: &HeaderMap, body: Body, largest: usize) -> Answer<Bytes> {
    if announced(headers).is_some_and(|length| length > DISCARDED.max(largest)) {
        return Err(too_large(largest));
    }
    match tokio::time::timeout(DEADLINE, collect(body, largest)).await {
        Ok(read) => read,
        Err(_) => Err(Failure::invalid("the body did not come in time")),
    }
}

async fn collect(mut body: Body, largest: usize) -> Answer<Bytes> {
    let mut kept = Vec::new();
    let mut discarded = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::invalid("the body was not sent whole"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if discarded > 0 || kept.len() + data.len() > largest {
            discarded = discarded.saturating_add(kept.len()).saturating_add(data.len());
            kept = Vec::new();
            if discarded > DISCARDED.max(largest) {
                break;
            }
        } else {
            kept.extend_from_slice(&data);
        }
    }
    if discarded > 0 {
        Err(too_large(largest))
    } else {
        Ok(kept.into())
    }
}

fn too_large(largest: usize) -> Failure {
    Failure::too_large(format!("the body is larger than {largest} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit_and_not_beyond() {
        let headers = HeaderMap::new();

        let fits = read(&headers, Body::from("1234"), 4).await.unwrap();
        let too_large = read(&headers, Body::from("12345"), 4).await;

        assert_eq!(fits, "1234");
        assert!(too_large.is_err());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_counted_as_one() {
        let pieces = [Ok::<_, std::io::Error>("123"), Ok("456"), Ok("7")];
        let body = Body::from_stream(futures_util::stream::iter(pieces));

        assert!(read(&HeaderMap::new(), body, 6).await.is_err());
    }
}
