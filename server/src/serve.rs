//! Connections: HTTP/1.1, with bounds on what a caller may take before it has shown any right to it. How long a
//! header may take and how large it may be is bounded here, bodies where they are read (`http::body`), and the
//! number of connections so that memory and file descriptors are.

use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;

/// How long open calls get when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// The most of a request's line and headers, in bytes; beyond it the answer is 431.
const LARGEST_HEAD: usize = 64 * 1024;
/// The most headers of a request; beyond it the answer is 431.
const MOST_HEADERS: usize = 100;
/// The pause after a connection could not be accepted, for instance because file descriptors are used up.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How often the log says that there are too many connections.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// File descriptors that are not for connections: the store, artifacts, git.
const OWN_FILES: u64 = 256;
/// What one connection too many is told.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    connection: close\r\nretry-after: 5\r\ncontent-length: 66\r\n\r\n\
    {\"code\":\"unavailable\",\"message\":\"the server has too many callers\"}";

/// Serves until `stopping`, and then until the open calls have ended or their time is over.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    let most = connections(limits.connections);
    let mut door = Door {
        http: builder(limits.header_timeout.duration()),
        router,
        free: Arc::new(Semaphore::new(most)),
        most,
        told: None,
        stopping,
        cut: CancellationToken::new(),
        open: TaskTracker::new(),
    };
    while let Some(connection) = door.next(&listener).await {
        door.admit(connection);
    }
    drop(listener);
    door.close().await;
}

/// As many as are asked for, or as the process may have open files for.
fn connections(asked: u32) -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::from(u32::MAX), |(soft, _)| soft);
    let possible = files.saturating_sub(OWN_FILES).max(16);
    let most = u64::from(asked).min(possible);
    if most < u64::from(asked) {
        tracing::info!(
            limit.asked = asked,
            limit.connections = most,
            "fewer connections than asked for: the process may not have more files open (ulimit -n)"
        );
    }
    usize::try_from(most)
        .unwrap_or(usize::MAX)
        .min(Semaphore::MAX_PERMITS)
}

/// hyper's timer for a header runs while a connection waits for its next request too, so it is also how long an
/// idle connection is kept.
fn builder(header_timeout: Duration) -> Builder {
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS);
    http
}

/// Where connections come in.
struct Door {
    http: Builder,
    router: Router,
    free: Arc<Semaphore>,
    most: usize,
    /// When the log last said that there are too many.
    told: Option<Instant>,
    stopping: CancellationToken,
    /// Set when what is still open is closed under its caller.
    cut: CancellationToken,
    open: TaskTracker,
}

impl Door {
    /// The next connection; none once the server stops.
    async fn next(&self, listener: &TcpListener) -> Option<TcpStream> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stopping.cancelled() => return None,
            };
            match accepted {
                Ok((connection, _)) => return Some(connection),
                // A caller that went away before it was let in.
                Err(error) if concerns_one(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::select! {
                        () = tokio::time::sleep(AFTER_FAILURE) => {}
                        () = self.stopping.cancelled() => return None,
                    }
                }
            }
        }
    }

    fn admit(&mut self, connection: TcpStream) {
        // Small answers must not wait for more; where it fails they merely wait.
        let _slower = connection.set_nodelay(true);
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            self.turn_away(connection);
            return;
        };
        let conversation = converse(
            self.http.clone(),
            connection,
            self.router.clone(),
            self.stopping.clone(),
            self.cut.clone(),
            place,
        );
        self.open.spawn(conversation);
    }

    /// Says no without waiting for anything: whoever comes now must not cost anything.
    fn turn_away(&mut self, connection: TcpStream) {
        if self.told.is_none_or(|told| told.elapsed() >= SAID_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(
                limit.connections = self.most,
                "too many connections: further ones are turned away with 503"
            );
        }
        if let Ok(mut connection) = connection.into_std() {
            // It does not block: the socket is still in tokio's mode.
            let _deaf = connection.write(TURNED_AWAY);
        }
    }

    /// Waits for the open calls, within bounds.
    async fn close(self) {
        self.open.close();
        if tokio::time::timeout(DRAIN, self.open.wait()).await.is_err() {
            tracing::warn!(calls = self.open.len(), "some calls did not end in time");
            self.cut.cancel();
            self.open.wait().await;
        }
    }
}

/// Answers the calls of one connection.
async fn converse(
    http: Builder,
    connection: TcpStream,
    router: Router,
    stopping: CancellationToken,
    cut: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(router);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stopping.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            tokio::select! {
                ended = conversation => ended,
                () = cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = crate::http::chain(&error), "a connection broke off");
    }
}

/// Whether an error of `accept` is about the one connection, so that the next may be tried at once (accept(2)).
fn concerns_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_too_many_is_told_is_whole() {
        let text = std::str::from_utf8(TURNED_AWAY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();

        assert!(head.contains(&format!("content-length: {}", body.len())));
        let error: api::runner::ApiError = serde_json::from_str(body).unwrap();
        assert_eq!(error.code, api::runner::ErrorCode::Unavailable);
    }

    #[test]
    fn no_more_connections_are_let_in_than_there_are_files_for() {
        assert_eq!(connections(16), 16);
        assert!(connections(u32::MAX) < usize::try_from(u32::MAX).unwrap());
    }
}
