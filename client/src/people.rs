//! The people's API: what the command line shows and asks for.

use api::people::{
    AuditEntry, CancelRequest, Cancelled, Event, PipelineRequest, PipelineStarted, PipelineSummary,
    PipelineView, RepositoryView, RerunRequest, TokenRequest, TokenResponse,
};
use api::{Outcome, PipelineId, PipelineOutcome, TaskId};
use futures_util::{Stream, StreamExt as _, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attended::{ANSWER, Repeat};
use crate::send::{attempt, read};
use crate::upload::NAME;
use crate::{Client, ClientError};

/// The longest line of an event stream: one output chunk as JSON, with room.
const LONGEST_LINE: usize = 32 * 1024 * 1024;

impl Client {
    /// Starts a pipeline.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn start_pipeline(&self, request: &PipelineRequest) -> Result<PipelineStarted, ClientError> {
        self.order("/api/v1/pipelines", request, Repeat::Never).await
    }

    /// The newest pipelines, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pipelines(&self) -> Result<Vec<PipelineSummary>, ClientError> {
        self.look("/api/v1/pipelines").await
    }

    /// The newest of these pipelines, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pipelines_which(&self, which: &Which<'_>) -> Result<Vec<PipelineSummary>, ClientError> {
        self.look(&which.path()).await
    }

    /// Runs a pipeline's commit again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rerun(
        &self,
        id: &PipelineId,
        request: &RerunRequest,
    ) -> Result<PipelineStarted, ClientError> {
        self.order(&format!("/api/v1/pipelines/{id}/rerun"), request, Repeat::Never)
            .await
    }

    /// The repositories that the server knows.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn repositories(&self) -> Result<Vec<RepositoryView>, ClientError> {
        self.look("/api/v1/repositories").await
    }

    /// What a job's newest attempt has written so far, piece by piece.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log(
        &self,
        task: &TaskId,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, ClientError>> + Send + use<>, ClientError> {
        let path = format!("/api/v1/jobs/{task}/log");
        let response = self
            .call(Repeat::Harmless, || self.request(Method::GET, &path))
            .await?;
        Ok(pieces(response))
    }

    /// One pipeline.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pipeline(&self, id: &PipelineId) -> Result<PipelineView, ClientError> {
        let path = format!("/api/v1/pipelines/{id}");
        self.look(&path).await
    }

    /// Cancels a pipeline; answers how it had ended before, where it had.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_pipeline(
        &self,
        id: &PipelineId,
        why: &str,
    ) -> Result<Cancelled<PipelineOutcome>, ClientError> {
        let request = CancelRequest { why: why.to_owned() };
        self.order(
            &format!("/api/v1/pipelines/{id}/cancel"),
            &request,
            Repeat::Harmless,
        )
        .await
    }

    /// Cancels a job; answers how it had ended before, where it had.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_job(&self, task: &TaskId, why: &str) -> Result<Cancelled<Outcome>, ClientError> {
        let request = CancelRequest { why: why.to_owned() };
        self.order(&format!("/api/v1/jobs/{task}/cancel"), &request, Repeat::Harmless)
            .await
    }

    /// Makes a resource-class token.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_token(&self, request: &TokenRequest) -> Result<TokenResponse, ClientError> {
        self.order("/api/v1/tokens", request, Repeat::Never).await
    }

    /// The audit log, oldest first, from after entry `after`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn audit(&self, after: u64) -> Result<Vec<AuditEntry>, ClientError> {
        let path = format!("/api/v1/audit?after={after}");
        self.look(&path).await
    }

    /// An artifact's content, piece by piece.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn artifact(
        &self,
        task: &TaskId,
        name: &str,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, ClientError>> + Send + use<>, ClientError> {
        let path = format!(
            "/api/v1/jobs/{task}/artifacts/{}",
            utf8_percent_encode(name, NAME)
        );
        let response = self
            .call(Repeat::Harmless, || self.request(Method::GET, &path))
            .await?;
        Ok(pieces(response))
    }

    /// The events of a pipeline after `cursor`, live, until it has finished or the connection breaks: each
    /// with the cursor to go on after.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(
        &self,
        id: &PipelineId,
        cursor: u64,
    ) -> Result<impl Stream<Item = Result<(u64, Event), ClientError>> + Send + use<>, ClientError> {
        self.event_stream(&format!("/api/v1/pipelines/{id}/events"), cursor)
            .await
    }

    /// The events of a pipeline so far.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events_so_far(
        &self,
        id: &PipelineId,
    ) -> Result<impl Stream<Item = Result<(u64, Event), ClientError>> + Send + use<>, ClientError> {
        self.event_stream(&format!("/api/v1/pipelines/{id}/events?wait=false"), 0)
            .await
    }

    /// Reads something.
    async fn look<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self
            .call(Repeat::Harmless, || self.request(Method::GET, path))
            .await?;
        answer(response).await
    }

    /// Asks for something to be done.
    async fn order<B, T>(&self, path: &str, body: &B, repeat: Repeat) -> Result<T, ClientError>
    where
        B: Serialize + Sync + ?Sized,
        T: DeserializeOwned,
    {
        let response = self
            .call(repeat, || self.request(Method::POST, path).json(body))
            .await?;
        answer(response).await
    }

    async fn event_stream(
        &self,
        path: &str,
        cursor: u64,
    ) -> Result<impl Stream<Item = Result<(u64, Event), ClientError>> + Send + use<>, ClientError> {
        let request = self.request(Method::GET, path).header("Last-Event-ID", cursor);
        let response = tokio::time::timeout(ANSWER, attempt(request))
            .await
            .unwrap_or(Err(ClientError::Deadline(ANSWER)))?;
        let reader = EventReader {
            bytes: Box::pin(response.bytes_stream()),
            buffer: Vec::new(),
            cursor,
        };
        Ok(stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|event| (event, reader)))
        }))
    }
}

/// Which pipelines are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// Those whose id begins so.
    pub prefix: Option<&'a str>,
    /// Those of this commit.
    pub commit: Option<&'a str>,
    /// Those of this repository.
    pub repository: Option<&'a str>,
    /// No more than these.
    pub limit: u32,
}

impl Which<'_> {
    fn path(&self) -> String {
        let mut path = format!("/api/v1/pipelines?limit={}", self.limit);
        for (name, value) in [
            ("prefix", self.prefix),
            ("commit", self.commit),
            ("repository", self.repository),
        ] {
            if let Some(value) = value {
                path.push_str(&format!(
                    "&{name}={}",
                    utf8_percent_encode(value, NON_ALPHANUMERIC)
                ));
            }
        }
        path
    }
}

/// A whole body, which may take as long again as its beginning did.
async fn answer<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, ClientError> {
    tokio::time::timeout(ANSWER, read(response))
        .await
        .unwrap_or(Err(ClientError::Deadline(ANSWER)))?
        .ok_or_else(crate::runner::empty)
}

/// A body, piece by piece.
fn pieces(response: reqwest::Response) -> impl Stream<Item = Result<Vec<u8>, ClientError>> + Send + use<> {
    response.bytes_stream().map(|piece| match piece {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(ClientError::Transport(error.without_url())),
    })
}

/// Takes server-sent events apart. Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>;
/// of its fields `id` and `data` are used, and a data field is one line here.
struct EventReader<S> {
    bytes: S,
    buffer: Vec<u8>,
    cursor: u64,
}

impl<S, B> EventReader<S>
where
    S: Stream<Item = Result<B, reqwest::Error>> + Unpin,
    B: AsRef<[u8]>,
{
    /// The next event; none at the end of the stream.
    async fn next(&mut self) -> Result<Option<(u64, Event)>, ClientError> {
        loop {
            while let Some(line) = self.line() {
                if let Some(id) = line.strip_prefix("id:") {
                    self.cursor = id.trim().parse().unwrap_or(self.cursor);
                } else if let Some(data) = line.strip_prefix("data:") {
                    let event = serde_json::from_str(data.trim_start()).map_err(ClientError::Answer)?;
                    return Ok(Some((self.cursor, event)));
                }
            }
            if self.buffer.len() > LONGEST_LINE {
                return Err(ClientError::Setup(
                    "an event is longer than any may be".to_owned(),
                ));
            }
            match self.bytes.next().await {
                Some(Ok(piece)) => self.buffer.extend_from_slice(piece.as_ref()),
                Some(Err(error)) => return Err(ClientError::Transport(error.without_url())),
                None => return Ok(None),
            }
        }
    }

    /// The next whole line of what has arrived.
    fn line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        Some(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_that_arrive_in_pieces_are_put_together() {
        let text = ": ping\n\nid: 7\ndata: {\"event\":\"job.started\",\"time\":1,\"job\":\"a\"}\n\nid: 9\r\ndata: \
                    {\"event\":\"job.started\",\"time\":2,\"job\":\"b\"}\r\n\r\n";
        let pieces = text
            .as_bytes()
            .chunks(5)
            .map(|piece| Ok::<_, reqwest::Error>(piece.to_vec()));
        let mut reader = EventReader {
            bytes: stream::iter(pieces),
            buffer: Vec::new(),
            cursor: 0,
        };

        let mut seen = Vec::new();
        while let Some((cursor, event)) = reader.next().await.unwrap() {
            seen.push((cursor, event.time));
        }

        assert_eq!(seen, [(7, 1), (9, 2)]);
    }
}
