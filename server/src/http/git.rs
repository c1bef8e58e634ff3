//! `/git/{repository}`: read-only smart HTTP of the mirrors, by git's own `http-backend` as CGI (RFC 3875).
//! A task may read its own repository while its attempt is open.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use api::people::PipelineView;
use api::{AttemptRef, Secret};
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State as FromState};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{Answer, Failure};
use super::{Shared, State};
use crate::config::Repository;
use crate::git::Group;

/// The longest that `http-backend` may take to its first line.
const FIRST_LINE: Duration = Duration::from_secs(120);
/// The longest that a client may send nothing of its request.
const SILENCE: Duration = Duration::from_secs(60);
/// The most header lines that are taken from `http-backend`.
const HEADER_LINES: usize = 32;
/// What is asked of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// The list of refs.
    Refs,
    /// The objects.
    UploadPack,
}

impl Service {
    const fn path(self) -> &'static str {
        match self {
            Self::Refs => "info/refs",
            Self::UploadPack => "git-upload-pack",
        }
    }
}

/// `info/refs` of a fetch. A push and the dumb protocol are refused.
pub(super) async fn get(
    FromState(shared): State,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer<Response> {
    let (name, service) = split(&path)?;
    if service != Service::Refs || query.as_deref() != Some("service=git-upload-pack") {
        return Err(Failure::forbidden(
            "only `git fetch` and `git clone` over smart HTTP are served here",
        ));
    }
    serve(&shared, name, service, request).await
}

/// The objects of a fetch.
pub(super) async fn post(
    FromState(shared): State,
    Path(path): Path<String>,
    request: Request,
) -> Answer<Response> {
    let (name, service) = split(&path)?;
    if service != Service::UploadPack {
        return Err(Failure::forbidden(
            "only `git fetch` and `git clone` over smart HTTP are served here",
        ));
    }
    serve(&shared, name, service, request).await
}

/// Splits `NAME/info/refs` and `NAME.git/info/refs`. A repository's name may hold slashes.
fn split(path: &str) -> Answer<(&str, Service)> {
    if path.ends_with("/git-receive-pack") {
        return Err(Failure::forbidden("nothing can be pushed to this server"));
    }
    for service in [Service::Refs, Service::UploadPack] {
        let name = path
            .strip_suffix(service.path())
            .and_then(|rest| rest.strip_suffix('/'));
        if let Some(name) = name {
            return Ok((name.strip_suffix(".git").unwrap_or(name), service));
        }
    }
    Err(Failure::not_found("there is nothing at this path"))
}

async fn serve(shared: &Shared, name: &str, service: Service, request: Request) -> Answer<Response> {
    let Some(token) = basic_password(request.headers()) else {
        return Ok(challenge());
    };
    let Some(attempt) = shared.auth.reader(&token) else {
        return Ok(challenge());
    };
    let repository = shared.repository(name);
    let own = repository_of(shared, &attempt).await?;
    match repository {
        Some(repository) if repository.name() == own => backend(shared, repository, service, request).await,
        _ => Err(Failure::forbidden("this token is for another repository")),
    }
}

/// The password of HTTP Basic; the user name does not matter.
fn basic_password(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (_user, password) = decoded.split_once(':')?;
    Some(Secret::new(password))
}

/// git asks its credential helper only after it was refused like this.
fn challenge() -> Response {
    let mut response =
        Failure::unauthorised("the task's token for git is needed as password").into_response();
    let basic = HeaderValue::from_static("Basic realm=\"goatherd\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    response
}

/// The repository of an open attempt.
async fn repository_of(shared: &Shared, attempt: &AttemptRef) -> Answer<String> {
    let view = match shared.store.pipeline_of(&attempt.task).await? {
        Some(id) => shared.store.pipeline(&id).await?,
        None => None,
    };
    match view {
        Some(view) if is_open(&view, attempt) => Ok(view.summary.repository),
        _ => Err(Failure::new(
            StatusCode::GONE,
            api::runner::ErrorCode::Gone,
            "the attempt of this token is over",
        )),
    }
}

fn is_open(view: &PipelineView, attempt: &AttemptRef) -> bool {
    let mut attempts = view.jobs.iter().flat_map(|job| &job.attempts);
    attempts.any(|known| known.attempt == *attempt && known.outcome.is_none())
}

async fn backend(
    shared: &Shared,
    repository: &Repository,
    service: Service,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let mut command = shared.mirrors.git().command(None);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", shared.mirrors.mirror(repository))
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", format!("/{}", service.path()))
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    for (variable, header) in [
        ("CONTENT_TYPE", CONTENT_TYPE),
        ("CONTENT_LENGTH", CONTENT_LENGTH),
        ("HTTP_CONTENT_ENCODING", CONTENT_ENCODING),
        ("GIT_PROTOCOL", HeaderName::from_static("git-protocol")),
    ] {
        if let Some(value) = parts.headers.get(header).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    let running = Running::start(command, body).map_err(|error| {
        tracing::error!(%error, "git http-backend could not be started");
        Failure::internal()
    })?;
    match tokio::time::timeout(FIRST_LINE, running.answer()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => {
            tracing::error!(%error, repository = repository.name(), "git http-backend did not answer");
            Err(Failure::internal())
        }
        Err(_) => Err(Failure::unavailable("git did not answer in time")),
    }
}

/// Hands a request's body to git as it comes.
async fn feed(body: Body, mut stdin: ChildStdin) {
    let mut data = body.into_data_stream();
    while let Ok(Some(Ok(bytes))) = tokio::time::timeout(SILENCE, data.next()).await {
        // git closes its end when it knows enough, or has failed and says so on its own.
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// What lives as long as the answer, and is ended with it: the group before its leader is waited for, while
/// the number is still its own.
struct Owned {
    _feeding: AbortOnDropHandle<()>,
    _group: Group,
    _child: Child,
}

/// A `git http-backend` whose answer has not begun.
struct Running {
    stdout: BufReader<ChildStdout>,
    owned: Owned,
}

impl Running {
    fn start(mut command: Command, body: Body) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let group = Group::of(&child);
        let missing = || io::Error::other("a piped stream is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        Ok(Self {
            stdout: BufReader::new(stdout),
            owned: Owned {
                _feeding: AbortOnDropHandle::new(tokio::spawn(feed(body, stdin))),
                _group: group,
                _child: child,
            },
        })
    }

    /// Reads the header lines and gives the rest as it comes.
    async fn answer(mut self) -> io::Result<Response> {
        let mut status = StatusCode::OK;
        let mut headers = HeaderMap::new();
        for _ in 0..HEADER_LINES {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                let Self { stdout, owned } = self;
                let body = ReaderStream::new(stdout).map(move |piece| {
                    let _alive = &owned;
                    piece
                });
                return Ok((status, headers, Body::from_stream(body)).into_response());
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            if name.eq_ignore_ascii_case("status") {
                let code = value.split_ascii_whitespace().next().unwrap_or_default();
                status = code.parse().map_err(io::Error::other)?;
            } else {
                let name: HeaderName = name.parse().map_err(io::Error::other)?;
                headers.insert(
                    name,
                    HeaderValue::from_str(value.trim()).map_err(io::Error::other)?,
                );
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_is_split_from_what_is_asked() {
        for (path, name, service) in [
            ("acme/app.git/info/refs", "acme/app", Service::Refs),
            ("acme/app/info/refs", "acme/app", Service::Refs),
            ("a.git/git-upload-pack", "a", Service::UploadPack),
        ] {
            assert_eq!(split(path).unwrap(), (name, service), "{path}");
        }
        for path in [
            "acme/app.git/HEAD",
            "info/refs",
            "a.git/git-receive-pack",
            "a.git/objects/info/packs",
        ] {
            assert!(split(path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_password_counts_and_the_user_does_not() {
        let mut headers = HeaderMap::new();
        let credentials = STANDARD.encode("anyone:t-1.1.ab:c");
        headers.insert(AUTHORIZATION, format!("Basic {credentials}").parse().unwrap());

        assert_eq!(basic_password(&headers), Some(Secret::new("t-1.1.ab:c")));

        headers.insert(AUTHORIZATION, "Bearer t-1.1.ab".parse().unwrap());
        assert_eq!(basic_password(&headers), None);
    }
}
