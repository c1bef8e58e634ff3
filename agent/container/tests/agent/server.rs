//! A server in miniature, on a real socket: it answers what a test laid out, and keeps what it was told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::runner::claim::{Claim, ClaimRequest};
use api::runner::presence::{
    AdoptRequest, AdoptResponse, Adoption, AdoptionResult, AttemptStatus, CancelOrder, Life, PresenceRequest,
    PresenceResponse, Standing, StatusRequest, StatusResponse, Whose,
};
use api::runner::{ApiError, ErrorCode, Holder, path};
use api::{AttemptRef, Millis, Secret, TaskId, Terms};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the server knows and was told.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) claims: VecDeque<Claim>,
    pub(crate) given: BTreeMap<u64, Option<Claim>>,
    pub(crate) claims_fail: bool,
    pub(crate) whose: BTreeMap<AttemptRef, Whose>,
    pub(crate) cancels: BTreeMap<AttemptRef, CancelOrder>,
    pub(crate) lives: BTreeMap<AttemptRef, (Life, Option<Holder>)>,
    pub(crate) adoptable: BTreeSet<AttemptRef>,
    pub(crate) drain: bool,
    pub(crate) replaced: bool,
    pub(crate) calls: Vec<(String, Value)>,
}

impl World {
    /// The bodies of all calls to one path.
    pub(crate) fn calls_to(&self, path: &str) -> Vec<Value> {
        self.calls
            .iter()
            .filter(|(to, _)| to == path)
            .map(|(_, body)| body.clone())
            .collect()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<()>,
    pub(crate) url: String,
    task: Arc<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if Arc::strong_count(&self.task) == 1 {
            self.task.abort();
        }
    }
}

/// Terms that are over quickly.
pub(crate) fn terms() -> Terms {
    Terms {
        presence: Millis(600),
        lease_before: Millis(3000),
        lease_after: Millis(6000),
        long_poll: Millis(200),
        window: Millis(1000),
        grace: Millis(300),
        shutdown_delay: Millis(20),
        slack: Millis(500),
        resend: Millis(5000),
        ..Terms::default()
    }
}

pub(crate) fn attempt(task: &str) -> AttemptRef {
    AttemptRef::new(TaskId::new(task).unwrap(), 1)
}

pub(crate) fn claim(task: &str) -> Claim {
    Claim {
        attempt: attempt(task),
        token: Secret::new(format!("token-of-{task}")),
        installation: "installation".to_owned(),
        job: format!("job-{task}"),
        image: None,
        services: Vec::new(),
        time_limit: Millis::seconds(60),
        terms: terms(),
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World::default()));
        let changed = watch::Sender::new(());
        let state = Inner {
            world: Arc::clone(&world),
            changed: changed.clone(),
        };
        let router = Router::new().fallback(answer).with_state(state);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            world,
            changed,
            url,
            task: Arc::new(task),
        }
    }

    /// Looks at the world, or changes it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let result = act(&mut self.world.lock().unwrap());
        self.changed.send_replace(());
        result
    }

    /// Waits until the world is as asked, and fails after 10 s with what was told until then.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let mut changes = self.changed.subscribe();
        let wait = async {
            while !holds(&self.world.lock().unwrap()) {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), wait).await.is_err() {
            panic!(
                "waited in vain until {what}; calls: {:#?}",
                self.world.lock().unwrap().calls
            );
        }
    }
}

#[derive(Debug, Clone)]
struct Inner {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<()>,
}

async fn answer(State(inner): State<Inner>, uri: Uri, body: Bytes) -> Response {
    let value: Value = serde_json::from_slice(&body).unwrap();
    inner
        .world
        .lock()
        .unwrap()
        .calls
        .push((uri.path().to_owned(), value.clone()));
    inner.changed.send_replace(());
    match uri.path() {
        path::CLAIM => inner.claim(read(value)).await,
        path::PRESENCE => inner.presence(read(value)).await,
        path::ADOPT => inner.adopt(read(value)),
        path::ATTEMPTS_STATUS => inner.status(read(value)),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn json<T: Serialize>(value: &T) -> Response {
    (StatusCode::OK, serde_json::to_string(value).unwrap()).into_response()
}

fn refuse(status: StatusCode, code: ErrorCode) -> Response {
    let error = ApiError {
        code,
        message: "refused".to_owned(),
        first_missing: None,
    };
    (status, serde_json::to_string(&error).unwrap()).into_response()
}

impl Inner {
    async fn claim(&self, request: ClaimRequest) -> Response {
        let until = tokio::time::Instant::now() + request.wait.duration();
        let mut changes = self.changed.subscribe();
        loop {
            {
                let mut world = self.world.lock().unwrap();
                if world.claims_fail {
                    return refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable);
                }
                if world.given.keys().any(|nonce| *nonce > request.nonce) {
                    return refuse(StatusCode::GONE, ErrorCode::Gone);
                }
                let known = world.given.get(&request.nonce).cloned();
                let claim = match known {
                    Some(claim) => Some(claim),
                    None => world.claims.pop_front().map(Some),
                };
                if let Some(claim) = claim {
                    world.given.insert(request.nonce, claim.clone());
                    return claim.map_or(StatusCode::NO_CONTENT.into_response(), |claim| json(&claim));
                }
                if tokio::time::Instant::now() >= until {
                    world.given.insert(request.nonce, None);
                    return StatusCode::NO_CONTENT.into_response();
                }
            }
            tokio::time::timeout_at(until, changes.changed()).await.ok();
        }
    }

    async fn presence(&self, request: PresenceRequest) -> Response {
        let until = tokio::time::Instant::now() + request.wait.duration();
        let mut changes = self.changed.subscribe();
        loop {
            {
                let world = self.world.lock().unwrap();
                if world.replaced {
                    return refuse(StatusCode::GONE, ErrorCode::Gone);
                }
                let attempts: Vec<Standing> = request
                    .holds
                    .iter()
                    .map(|held| Standing {
                        attempt: held.attempt.clone(),
                        whose: world.whose.get(&held.attempt).copied().unwrap_or(Whose::Yours),
                        cancel: world.cancels.get(&held.attempt).cloned(),
                    })
                    .collect();
                let news = world.drain != request.draining && world.drain
                    || attempts.iter().zip(&request.holds).any(|(standing, held)| {
                        standing.whose != Whose::Yours || standing.cancel.is_some() && !held.cancel_seen
                    });
                if news || tokio::time::Instant::now() >= until {
                    return json(&PresenceResponse {
                        attempts,
                        drain: world.drain,
                        terms: terms(),
                    });
                }
            }
            tokio::time::timeout_at(until, changes.changed()).await.ok();
        }
    }

    fn adopt(&self, request: AdoptRequest) -> Response {
        let world = self.world.lock().unwrap();
        let attempts = request
            .candidates
            .into_iter()
            .map(|candidate| Adoption {
                result: if world.adoptable.contains(&candidate.attempt) {
                    AdoptionResult::Adopted { terms: terms() }
                } else {
                    AdoptionResult::Refused
                },
                attempt: candidate.attempt,
            })
            .collect();
        json(&AdoptResponse { attempts })
    }

    fn status(&self, request: StatusRequest) -> Response {
        let world = self.world.lock().unwrap();
        let attempts = request
            .attempts
            .into_iter()
            .map(|attempt| {
                let (life, holder) = world
                    .lives
                    .get(&attempt)
                    .cloned()
                    .unwrap_or((Life::Unknown, None));
                AttemptStatus {
                    attempt,
                    life,
                    holder,
                }
            })
            .collect();
        json(&StatusResponse { attempts })
    }
}
