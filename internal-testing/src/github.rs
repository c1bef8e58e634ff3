//! GitHub's commit statuses on a real socket, as strict as the real API: what it refuses there it refuses here.
//! It can be told to be in trouble, to be slow, to limit calls, and to go away and come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Route, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The token that the fake takes unless it is told another one.
pub const TOKEN: &str = "github_pat_for_tests";

/// The most statuses of a commit and context.
const MOST: usize = 1000;
/// The most characters of a description.
const LONGEST_DESCRIPTION: usize = 140;
/// The most characters of a context.
const LONGEST_CONTEXT: usize = 255;

/// A status that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The commit.
    pub sha: String,
    /// What it is about.
    pub context: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// The sentence.
    pub description: String,
    /// The link.
    pub target_url: String,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// This status, such as 502, with a page of HTML.
    Broken(u16),
    /// 429 with `Retry-After`. A call before that is over is a violation.
    TooMany {
        /// In seconds.
        retry_after: u64,
    },
    /// 403 with `X-RateLimit-Remaining: 0` and `X-RateLimit-Reset`: the same.
    Exhausted {
        /// How long, in seconds.
        reset_after: u64,
    },
    /// The right answer, this late.
    Slow(Duration),
    /// Taken, and the connection breaks before the answer is whole.
    Lost,
}

#[derive(Debug, Default)]
struct Inner {
    repositories: Vec<(String, PathBuf)>,
    token: String,
    taken: Vec<Taken>,
    refused: Vec<(u16, String)>,
    troubles: VecDeque<Trouble>,
    broken: Vec<(String, u16)>,
    limited_until: Option<Instant>,
    violations: Vec<String>,
    calls: usize,
}

/// The provider.
#[derive(Debug)]
pub struct GitHub {
    inner: Arc<Mutex<Inner>>,
    address: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl GitHub {
    /// Starts one that knows no repository yet.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start() -> Self {
        let inner = Inner {
            token: TOKEN.to_owned(),
            ..Inner::default()
        };
        let mut github = Self {
            inner: Arc::new(Mutex::new(inner)),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            running: None,
        };
        github.come_back();
        github
    }

    /// The URL of its API.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Goes away: connections are refused, open ones break.
    ///
    /// # Panics
    /// When it had failed.
    pub fn go_away(&mut self) {
        if let Some(running) = self.running.take() {
            // A thread that has ended already needs no word.
            running.stop.send(()).ok();
            running.thread.join().expect("the provider has not panicked");
        }
    }

    /// Comes back at the same address, with what it knew.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn come_back(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let (address, inner) = (self.address, Arc::clone(&self.inner));
        // A runtime of its own: tests wait for things without giving way.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.expect("the address is free");
                tell.send(listener.local_addr().expect("it is bound"))
                    .expect("the test waits");
                let app = Router::new()
                    .route("/repos/{owner}/{repository}/statuses/{sha}", post(answer))
                    .fallback(|| async { problem(404, "Not Found", None) })
                    .with_state(inner);
                tokio::select! {
                    served = axum::serve(listener, app) => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        self.address = told.recv().expect("the provider listens");
        self.running = Some(Running { stop, thread });
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Lets it know a repository: its name there, and a git repository whose commits are there, beside those
    /// of earlier ones of that name.
    pub fn add_repository(&self, repository: &str, folder: &Path) {
        self.inner()
            .repositories
            .push((repository.to_owned(), folder.to_owned()));
    }

    /// Takes another token from now on, and not the one before.
    pub fn change_token(&self, token: &str) {
        token.clone_into(&mut self.inner().token);
    }

    /// Each of these happens to one of the next calls, in order.
    pub fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.inner().troubles.extend(troubles);
    }

    /// Answers every call for a repository with this status from now on.
    pub fn break_repository(&self, repository: &str, status: u16) {
        self.inner().broken.push((repository.to_owned(), status));
    }

    /// All statuses that were taken, in the order in which they came.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.inner().taken.clone()
    }

    /// The statuses of a commit and context, in the order in which they came.
    #[must_use]
    pub fn history(&self, sha: &str, context: &str) -> Vec<Taken> {
        let is_it = |one: &Taken| one.sha == sha && one.context.eq_ignore_ascii_case(context);
        self.taken().into_iter().filter(is_it).collect()
    }

    /// What GitHub shows of a commit and context: the last that came.
    #[must_use]
    pub fn shown(&self, sha: &str, context: &str) -> Option<Taken> {
        self.history(sha, context).pop()
    }

    /// The status codes and messages of calls that were refused for certain.
    #[must_use]
    pub fn refused(&self) -> Vec<(u16, String)> {
        self.inner().refused.clone()
    }

    /// Calls that no good client makes: before a limit is over.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.inner().calls
    }

    /// How many troubles are still to come.
    #[must_use]
    pub fn troubles_left(&self) -> usize {
        self.inner().troubles.len()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // The test is over: its thread ends by itself.
            running.stop.send(()).ok();
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().expect("no call panics")
}

/// A refusal as GitHub writes it.
fn problem(status: u16, message: &str, detail: Option<&str>) -> Response {
    let mut body = json!({"message": message, "documentation_url": "https://docs.github.com/rest"});
    if let Some(detail) = detail {
        body["errors"] = json!([{"resource": "Status", "code": "custom", "message": detail}]);
    }
    let code = StatusCode::from_u16(status).expect("a status");
    (code, [("content-type", "application/json")], body.to_string()).into_response()
}

#[derive(Deserialize)]
struct Wanted {
    state: String,
    #[serde(default)]
    target_url: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    context: Option<String>,
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    Route((owner, name, sha)): Route<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let trouble = {
        let mut inner = lock(&inner);
        inner.calls += 1;
        if let Some(until) = inner.limited_until
            && Instant::now() < until
        {
            let early = until - Instant::now();
            inner
                .violations
                .push(format!("a call {early:?} before the limit is over"));
        }
        inner.troubles.pop_front()
    };
    match trouble {
        Some(Trouble::Broken(status)) => {
            let code = StatusCode::from_u16(status).expect("a status");
            return (code, "<html>Unicorn!</html>").into_response();
        }
        Some(Trouble::TooMany { retry_after }) => {
            lock(&inner).limited_until = Some(Instant::now() + Duration::from_secs(retry_after));
            let mut response = problem(429, "You have exceeded a secondary rate limit.", None);
            set(&mut response, "retry-after", retry_after);
            return response;
        }
        Some(Trouble::Exhausted { reset_after }) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let left = Duration::from_secs(reset_after);
            lock(&inner).limited_until = Some(Instant::now() + left);
            let mut response = problem(403, "API rate limit exceeded for user ID 1.", None);
            set(&mut response, "x-ratelimit-remaining", 0);
            set(&mut response, "x-ratelimit-reset", (now + left).as_secs());
            return response;
        }
        Some(Trouble::Slow(delay)) => tokio::time::sleep(delay).await,
        Some(Trouble::Lost) | None => {}
    }
    let repository = format!("{owner}/{name}");
    let broken = lock(&inner)
        .broken
        .iter()
        .find_map(|(one, status)| (*one == repository).then_some(*status));
    if let Some(status) = broken {
        return problem(status, "This repository is broken", None);
    }
    let judged = judge(&inner, &repository, &sha, &headers, &body);
    if matches!(trouble, Some(Trouble::Lost)) {
        return broken_off();
    }
    match judged {
        Ok(id) => {
            let body = json!({"id": id, "url": format!("https://api.github.com/{sha}")});
            let mut response = (StatusCode::CREATED, body.to_string()).into_response();
            set(&mut response, "x-ratelimit-remaining", 4000);
            response
        }
        Err((status, message, detail)) => {
            let text = detail.clone().unwrap_or_else(|| message.clone());
            lock(&inner).refused.push((status, text));
            problem(status, &message, detail.as_deref())
        }
    }
}

/// An answer whose connection breaks before its end.
fn broken_off() -> Response {
    let end = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("broken off")) });
    (StatusCode::CREATED, Body::from_stream(end)).into_response()
}

fn set(response: &mut Response, name: &'static str, value: u64) {
    let value = value.to_string().parse().expect("digits are a header's value");
    response.headers_mut().insert(name, value);
}

type Refusal = (u16, String, Option<String>);

/// What the real API does with such a call.
fn judge(
    inner: &Mutex<Inner>,
    repository: &str,
    sha: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<usize, Refusal> {
    let plain = |status: u16, message: &str| Err((status, message.to_owned(), None));
    let invalid = |detail: &str| Err((422, "Validation Failed".to_owned(), Some(detail.to_owned())));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut inner = lock(inner);
    if header("user-agent").is_none_or(str::is_empty) {
        return plain(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    if header("authorization") != Some(&format!("Bearer {}", inner.token)) {
        return plain(401, "Bad credentials");
    }
    if !header("accept").is_some_and(|accept| accept.contains("json")) {
        return plain(
            415,
            "Unsupported 'Accept' header: Must accept 'application/json'.",
        );
    }
    let is_it = |one: &&(String, PathBuf)| one.0 == repository;
    let mut folders = inner.repositories.iter().filter(is_it).peekable();
    if folders.peek().is_none() {
        return plain(404, "Not Found");
    }
    if serde_json::from_slice::<Value>(body).is_err() {
        return plain(400, "Problems parsing JSON");
    }
    let Ok(wanted) = serde_json::from_slice::<Wanted>(body) else {
        return invalid("a field has the wrong type");
    };
    if sha.len() != 40
        || !sha.bytes().all(|byte| byte.is_ascii_hexdigit())
        || !folders.any(|(_, folder)| has_commit(folder, sha))
    {
        return plain(422, &format!("No commit found for SHA: {sha}"));
    }
    if !["pending", "success", "failure", "error"].contains(&wanted.state.as_str()) {
        return invalid("State is not included in the list");
    }
    let context = wanted.context.unwrap_or_else(|| "default".to_owned());
    let description = wanted.description.unwrap_or_default();
    let target_url = wanted.target_url.unwrap_or_default();
    if description.chars().count() > LONGEST_DESCRIPTION {
        return invalid("description is too long (maximum is 140 characters)");
    }
    if context.chars().count() > LONGEST_CONTEXT {
        return invalid("context is too long (maximum is 255 characters)");
    }
    for (name, text) in [("description", &description), ("context", &context)] {
        if text.chars().any(|found| u32::from(found) > 0xffff) {
            return invalid(&format!("{name} doesn't accept 4-byte Unicode"));
        }
    }
    if !target_url.is_empty() && !target_url.starts_with("http://") && !target_url.starts_with("https://") {
        return invalid("target_url must use http(s) scheme");
    }
    let same = |one: &&Taken| one.sha == sha && one.context.eq_ignore_ascii_case(&context);
    if inner.taken.iter().filter(same).count() >= MOST {
        return invalid("This SHA and context has reached the maximum number of statuses.");
    }
    inner.taken.push(Taken {
        sha: sha.to_owned(),
        context,
        state: wanted.state,
        description,
        target_url,
    });
    Ok(inner.taken.len())
}

fn has_commit(folder: &Path, sha: &str) -> bool {
    let status = std::process::Command::new("git")
        .args(["cat-file", "-e", &format!("{sha}^{{commit}}")])
        .current_dir(folder)
        .stderr(std::process::Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
