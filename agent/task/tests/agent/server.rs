//! A runner API that answers task agents from memory, on a real socket, and that can vanish and come back.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use api::Phase;
use api::runner::presence::CancelOrder;
use api::runner::report::PhaseRequest;
use api::runner::task::{
    Bytes, Chunk, Content, FinishRequest, HeartbeatRequest, HeartbeatResponse, OutputRequest, OutputResponse,
    StepEvent, StepRequest, Stream, Task,
};
use api::runner::{ApiError, ErrorCode, SHA256_HEADER, path};
use axum::body::Bytes as Body;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use sha2::{Digest as _, Sha256};

/// What git gets instead of the task token.
pub(crate) const GIT_TOKEN: &str = "git-token-that-is-good-for-reading-alone";

pub(crate) const TOKEN: &str = "task-token-that-nobody-may-see-4711";

/// What a call of the task agent left behind, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Phase(Phase),
    Began(u32),
    /// Some output of a step, told once however many chunks of it come one after the other.
    Output(u32),
    Ended(u32, i32),
    Finish,
}

/// All that the server knows, and how it is to behave.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) task: Option<Task>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) chunks: BTreeMap<u64, Chunk>,
    pub(crate) record: Option<FinishRequest>,
    pub(crate) artifacts: BTreeMap<String, Vec<u8>>,
    pub(crate) instances: Vec<Option<String>>,
    pub(crate) cancel: Option<CancelOrder>,
    pub(crate) gone: bool,
    /// Is looked at before a *began* is answered.
    pub(crate) at_began: Option<AtBegan>,
    /// So many calls are answered with 503 first.
    pub(crate) failures: u32,
    /// So many artifacts and calls with output are answered with 507 first.
    pub(crate) full: u32,
    /// Forgets this chunk when the record comes.
    pub(crate) forget: Option<u64>,
    pub(crate) repositories: Option<PathBuf>,
    /// So many of git's calls are answered with 503 first.
    pub(crate) git_failures: u32,
}

/// What happens when a *began* arrives.
#[derive(Debug, Clone)]
pub(crate) enum AtBegan {
    /// It is answered late, and this file must not be there until then.
    Late(PathBuf),
    /// It is refused.
    Refuse,
}

impl Facts {
    fn stored(&self) -> u64 {
        (1..)
            .take_while(|number| self.chunks.contains_key(number))
            .last()
            .unwrap_or(0)
    }

    pub(crate) fn output(&self, step: u32, stream: Stream) -> Vec<u8> {
        let mut all = Vec::new();
        for chunk in self
            .chunks
            .values()
            .filter(|c| c.step == step && c.stream == stream)
        {
            match &chunk.content {
                Content::Bytes(Bytes(bytes)) => all.extend_from_slice(bytes),
                Content::Lost(count) => panic!("{count} bytes were lost"),
            }
        }
        all
    }

    pub(crate) fn text(&self, step: u32, stream: Stream) -> String {
        String::from_utf8(self.output(step, stream)).expect("text")
    }
}

#[derive(Debug, Default)]
struct Shared {
    facts: Mutex<Facts>,
    changed: Condvar,
}

type Known = State<Arc<Shared>>;

/// The server.
pub(crate) struct FakeServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    life: Option<Life>,
}

impl FakeServer {
    pub(crate) fn start(task: Task) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut server = Self {
            shared: Arc::default(),
            address: listener.local_addr().expect("an address"),
            life: None,
        };
        server.facts().task = Some(task);
        server.serve(listener);
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.shared.facts.lock().expect("no panic in the server")
    }

    /// Every connection breaks, and nobody listens any more.
    pub(crate) fn vanish(&mut self) {
        drop(self.life.take());
    }

    /// Listens again, with everything that it knew.
    pub(crate) fn return_again(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the port is free again");
        self.serve(listener);
    }

    /// Waits until something is so.
    pub(crate) fn wait(&self, what: &str, so: impl Fn(&Facts) -> bool) -> MutexGuard<'_, Facts> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut facts = self.facts();
        while !so(&facts) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what} in vain: {:?}", facts.seen);
            facts = self.shared.changed.wait_timeout(facts, left).expect("no panic").0;
        }
        facts
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).expect("set");
        let routes = Router::new()
            .route(path::TASK, get(task))
            .route(path::HEARTBEAT, post(heartbeat))
            .route(path::PHASE, post(phase))
            .route(path::STEP, post(step))
            .route(path::OUTPUT, post(output))
            .route(path::FINISH, post(finish))
            .route(&format!("{}{{*name}}", path::ARTIFACTS), put(artifact))
            .layer(from_fn_with_state(Arc::clone(&self.shared), guard))
            .route("/git/{*path}", any(git))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&self.shared));
        self.life = Some(Life::start(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, routes).await.expect("it serves");
        }));
    }
}

/// A thread with a runtime of its own: when it ends, every connection breaks.
struct Life {
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Life {
    fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = work => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn refusal(status: u16, code: ErrorCode, first_missing: Option<u64>) -> Response {
    let error = ApiError {
        code,
        message: "refused by the fake".to_owned(),
        first_missing,
    };
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(error)).into_response()
}

async fn guard(State(shared): Known, request: Request, next: Next) -> Response {
    if let Some(refusal) = refused(&shared, request.uri().path(), request.headers()) {
        return refusal;
    }
    let response = next.run(request).await;
    shared.changed.notify_all();
    response
}

fn refused(shared: &Shared, called: &str, headers: &HeaderMap) -> Option<Response> {
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    if header("authorization") != Some(format!("Bearer {TOKEN}")) {
        return Some(refusal(401, ErrorCode::Unauthorised, None));
    }
    let mut facts = shared.facts.lock().expect("no panic");
    facts.instances.push(header(api::goat::INSTANCE_HEADER));
    if facts.gone {
        return Some(refusal(410, ErrorCode::Gone, None));
    }
    if facts.full > 0 && (called.starts_with(path::ARTIFACTS) || called == path::OUTPUT) {
        facts.full -= 1;
        return Some(refusal(507, ErrorCode::InsufficientStorage, None));
    }
    if facts.failures > 0 {
        facts.failures -= 1;
        return Some(refusal(503, ErrorCode::Unavailable, None));
    }
    None
}

async fn task(State(shared): Known) -> Json<Option<Task>> {
    Json(shared.facts.lock().expect("no panic").task.clone())
}

async fn heartbeat(State(shared): Known, Json(request): Json<HeartbeatRequest>) -> Response {
    let deadline = tokio::time::Instant::now() + request.wait.duration();
    loop {
        {
            let facts = shared.facts.lock().expect("no panic");
            if facts.gone {
                return refusal(410, ErrorCode::Gone, None);
            }
            if facts.cancel.is_some() && !request.cancel_seen || tokio::time::Instant::now() >= deadline {
                let cancel = facts.cancel.clone();
                return Json(HeartbeatResponse { cancel }).into_response();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn phase(State(shared): Known, Json(request): Json<PhaseRequest>) -> Json<()> {
    let mut facts = shared.facts.lock().expect("no panic");
    facts.seen.push(Seen::Phase(request.phase));
    Json(())
}

async fn step(State(shared): Known, Json(request): Json<StepRequest>) -> Response {
    let at_began = shared.facts.lock().expect("no panic").at_began.clone();
    match (&request.event, at_began) {
        (StepEvent::Began, Some(AtBegan::Refuse)) => return refusal(409, ErrorCode::Cancelling, None),
        (StepEvent::Began, Some(AtBegan::Late(file))) => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!file.exists(), "the step ran before its began was acknowledged");
        }
        _ => {}
    }
    let mut facts = shared.facts.lock().expect("no panic");
    facts.seen.push(match request.event {
        StepEvent::Began => Seen::Began(request.step),
        StepEvent::Ended(end) => Seen::Ended(request.step, end.exit_code),
    });
    Json(()).into_response()
}

async fn output(State(shared): Known, Json(request): Json<OutputRequest>) -> Json<OutputResponse> {
    let mut facts = shared.facts.lock().expect("no panic");
    for chunk in request.chunks {
        let seen = Seen::Output(chunk.step);
        if facts.seen.last() != Some(&seen) {
            facts.seen.push(seen);
        }
        facts.chunks.entry(chunk.sequence).or_insert(chunk);
    }
    let stored = facts.stored();
    Json(OutputResponse { stored })
}

async fn finish(State(shared): Known, Json(request): Json<FinishRequest>) -> Response {
    let mut facts = shared.facts.lock().expect("no panic");
    if let Some(number) = facts.forget.take() {
        facts.chunks.remove(&number);
    }
    if facts.stored() < request.last_sequence {
        let first = facts.stored() + 1;
        return refusal(409, ErrorCode::OutputMissing, Some(first));
    }
    facts.seen.push(Seen::Finish);
    facts.record = Some(request);
    Json(()).into_response()
}

async fn artifact(
    State(shared): Known,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let sum = hex::encode(Sha256::digest(&body));
    if headers.get(SHA256_HEADER).and_then(|sum| sum.to_str().ok()) != Some(&sum) {
        return refusal(400, ErrorCode::Invalid, None);
    }
    let mut facts = shared.facts.lock().expect("no panic");
    facts.artifacts.insert(name, body.to_vec());
    Json(()).into_response()
}

/// git's own `http-backend`, behind the task's token for git as password.
async fn git(
    State(shared): Known,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    use base64::Engine as _;
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("goatherd:{GIT_TOKEN}"));
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    };
    if header("authorization") != format!("Basic {expected}") {
        let challenge = [("www-authenticate", "Basic realm=\"fake\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let root = {
        let mut facts = shared.facts.lock().expect("no panic");
        if facts.git_failures > 0 {
            facts.git_failures -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        facts.repositories.clone()
    };
    let Some(root) = root else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", query.unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    let answered = tokio::task::spawn_blocking(move || run_cgi(command, &body)).await;
    answered.expect("it runs")
}

fn run_cgi(mut command: Command, body: &[u8]) -> Response {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is there");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(body)
        .expect("written");
    let answer = child.wait_with_output().expect("it ended").stdout;
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("headers end");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&answer[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().expect("a status")),
            _ => response.header(name, value),
        };
    }
    response
        .body(answer[end + 4..].to_vec().into())
        .expect("a response")
}

/// Runs git in a folder for a test's own ends.
pub(crate) fn run_git(folder: &FilePath, words: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(words)
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
