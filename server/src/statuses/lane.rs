//! One account's statuses: one call after the other, and what an answer leads to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::Secret;
use forge::{Forge, Response, Status, StatusState, Verdict};
use store::{Store, StoreError, UnsentStatus};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::{Backoff, Pace};
use super::turns::Turns;
use crate::complaint::Complaint;
use crate::config::StatusAccess;

/// How many of the outbox are looked at together.
const BATCH: u32 = 100;
/// Changes that come together are looked at together: a job that is queued and claimed at once is one status.
const GATHER: Duration = Duration::from_millis(100);
/// The longest that a call may take. GitHub ends its own work on a call after ten seconds; one that was given up
/// here can therefore not overtake the next one.
const CALL: Duration = Duration::from_secs(30);
/// How long the call that is under way gets when the server stops. It is made again after the next start.
const LAST_CALL: Duration = Duration::from_secs(5);
/// The waits after a failure of the provider or of the way to it.
const FAILURE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The waits where the provider says "not so fast" and not how long.
const LIMITED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// The wait after the store failed.
const STORE_FAILURE: Duration = Duration::from_secs(1);
/// How long the failures of a status are remembered after the moment of its next try, where it has gone meanwhile.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// How much of an answer is read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The statuses of one account.
#[derive(Debug)]
pub(super) struct Lane {
    provider: &'static dyn Forge,
    api_url: String,
    token: Secret,
    repositories: Vec<String>,
    http: reqwest::Client,
    store: Store,
    public_url: Arc<str>,
    pace: Pace,
    /// No call before this moment.
    not_before: Instant,
    unreachable: Backoff,
    limited: Backoff,
    /// The statuses that failed, each with the moment before which it is not sent again, so that one that the
    /// provider cannot take does not hold back the others.
    failed: HashMap<i64, (Backoff, Instant)>,
    /// Whose turn it is.
    turns: Turns,
    /// What was last said of a repository's refusals, so that it is said once.
    complaints: HashMap<String, String>,
}

/// What a look at the outbox leads to.
enum Next {
    /// Look again at once.
    Look,
    /// Nothing before this moment, whatever changes.
    Pause(Instant),
    /// Nothing before something changes, or this moment.
    Rest(Option<Instant>),
    /// The server stops.
    Stop,
}

/// What became of a call.
enum Outcome {
    Answer(Verdict),
    /// Nobody knows whether the provider has it.
    NoAnswer(String),
}

impl Lane {
    pub(super) fn new(
        access: &StatusAccess,
        repositories: Vec<String>,
        http: reqwest::Client,
        store: Store,
        public_url: Arc<str>,
    ) -> Self {
        let now = Instant::now();
        Self {
            provider: access.provider(),
            api_url: access.api_url().to_owned(),
            token: access.token().clone(),
            repositories,
            http,
            store,
            public_url,
            pace: Pace::new(now),
            not_before: now,
            unreachable: Backoff::new(FAILURE.0, FAILURE.1),
            limited: Backoff::new(LIMITED.0, LIMITED.1),
            failed: HashMap::new(),
            turns: Turns::default(),
            complaints: HashMap::new(),
        }
    }

    /// Sends until it is told to stop.
    pub(super) async fn run(mut self, stopping: CancellationToken) {
        let mut changes = self.store.changes();
        let mut complaint = Complaint::default();
        while !stopping.is_cancelled() {
            changes.borrow_and_update();
            let next = match self.next(&stopping).await {
                Ok(next) => {
                    if complaint.over() {
                        tracing::info!("the store takes what became of statuses again");
                    }
                    next
                }
                Err(error) => {
                    if let Some(error) = complaint.news(&error) {
                        tracing::error!(error, "what became of statuses could not be read or noted");
                    }
                    Next::Pause(Instant::now() + STORE_FAILURE)
                }
            };
            let pause = match next {
                Next::Look => continue,
                Next::Stop => return,
                Next::Pause(until) => until,
                Next::Rest(until) => {
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        () = sleep_until(until) => Instant::now(),
                        // Where the writer ended nothing changes any more, and the server is told elsewhere.
                        Ok(()) = changes.changed() => Instant::now() + GATHER,
                    }
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep_until(pause) => {}
            }
        }
    }

    async fn next(&mut self, stopping: &CancellationToken) -> Result<Next, StoreError> {
        let earliest = self.not_before.max(self.pace.ready());
        if earliest > Instant::now() {
            return Ok(Next::Pause(earliest));
        }
        let now = Instant::now();
        self.failed.retain(|_, (_, until)| *until + REMEMBERED > now);
        let waits = |until: &Instant| *until > now;
        let put_off: Vec<i64> = self
            .failed
            .iter()
            .filter_map(|(number, (_, until))| waits(until).then_some(*number))
            .collect();
        let unsent = self
            .store
            .unsent_statuses(&self.repositories, &put_off, BATCH)
            .await?;
        let Some(status) = self.turns.next(&unsent) else {
            let again = self.failed.values().map(|(_, until)| *until);
            return Ok(Next::Rest(again.filter(waits).min()));
        };
        self.pace.took(now);
        let outcome = tokio::select! {
            outcome = self.send(status) => outcome,
            () = last_call(stopping) => return Ok(Next::Stop),
        };
        self.note(status, outcome).await?;
        Ok(Next::Look)
    }

    /// Makes the call.
    async fn send(&self, status: &UnsentStatus) -> Outcome {
        match tokio::time::timeout(CALL, self.call(status)).await {
            Ok(Ok(verdict)) => Outcome::Answer(verdict),
            Ok(Err(error)) => Outcome::NoAnswer(crate::http::chain(&error.without_url())),
            Err(_) => Outcome::NoAnswer(format!("no answer within {} s", CALL.as_secs())),
        }
    }

    async fn call(&self, status: &UnsentStatus) -> Result<Verdict, reqwest::Error> {
        let target_url = format!("{}/api/v1/pipelines/{}", self.public_url, status.pipeline);
        let what = Status {
            state: state(status.status.state),
            context: &status.context,
            description: &status.status.description,
            target_url: &target_url,
        };
        let request = self
            .provider
            .status(&self.api_url, &status.repository, &status.commit, &what);
        let mut call = self
            .http
            .request(request.method, request.url)
            .bearer_auth(self.token.expose())
            .body(request.body);
        for (name, value) in request.headers {
            call = call.header(*name, *value);
        }
        let mut answer = call.send().await?;
        let (code, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while body.len() < LONGEST_ANSWER
            && let Some(part) = answer.chunk().await?
        {
            body.extend_from_slice(&part);
        }
        Ok(self.provider.verdict(&Response {
            status: code,
            headers: &headers,
            body: &body,
            received: SystemTime::now(),
        }))
    }

    /// Notes what became of a call.
    async fn note(&mut self, status: &UnsentStatus, outcome: Outcome) -> Result<(), StoreError> {
        if let Outcome::Answer(_) = &outcome {
            if self.unreachable.failures() > 0 {
                tracing::info!(provider = self.provider.name(), "the provider answers again");
            }
            self.unreachable.succeeded();
        }
        let noted = match outcome {
            Outcome::Answer(Verdict::Taken) => {
                self.limited.succeeded();
                self.complaints.remove(&status.repository);
                self.store.status_sent(status).await
            }
            Outcome::Answer(Verdict::Refused { message, hint }) => {
                self.complain(status, &message, hint);
                let why = format!("{message} ({hint})");
                self.store.status_refused(status, &why).await
            }
            Outcome::Answer(Verdict::Limited { wait }) => {
                self.slow_down(wait);
                return Ok(());
            }
            Outcome::Answer(Verdict::Trouble) => {
                self.put_off(status);
                return Ok(());
            }
            Outcome::NoAnswer(why) => {
                self.back_off(&why);
                self.put_off(status);
                return Ok(());
            }
        };
        match &noted {
            Ok(()) => {
                tracing::debug!(
                    pipeline.id = %status.pipeline,
                    status.context = status.context,
                    status.state = ?status.status.state,
                    "the provider has answered to a status"
                );
                self.failed.remove(&status.number);
            }
            // It is still in the outbox; the provider is not to get it again and again meanwhile.
            Err(_) => self.put_off(status),
        }
        noted
    }

    fn complain(&mut self, status: &UnsentStatus, message: &str, hint: &str) {
        let before = self
            .complaints
            .insert(status.repository.clone(), message.to_owned());
        if before.as_deref() == Some(message) {
            return;
        }
        tracing::error!(
            repository = status.repository,
            pipeline.id = %status.pipeline,
            status.context = status.context,
            message,
            hint,
            "the provider refuses a commit status; it is not sent again"
        );
    }

    fn slow_down(&mut self, wait: Option<Duration>) {
        let guess = self.limited.failed();
        let wait = wait.unwrap_or(guess).clamp(FAILURE.0, LIMITED.1);
        tracing::warn!(
            provider = self.provider.name(),
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "the provider wants fewer calls; statuses wait"
        );
        self.not_before = Instant::now() + wait;
    }

    fn back_off(&mut self, why: &str) {
        if self.unreachable.failures() == 0 {
            tracing::warn!(
                provider = self.provider.name(),
                api_url = self.api_url,
                error = why,
                "the provider does not answer; statuses wait and are sent once it does"
            );
        }
        self.not_before = Instant::now() + self.unreachable.failed();
    }

    fn put_off(&mut self, status: &UnsentStatus) {
        let now = Instant::now();
        let (backoff, until) = self
            .failed
            .entry(status.number)
            .or_insert_with(|| (Backoff::new(FAILURE.0, FAILURE.1), now));
        *until = now + backoff.failed();
        tracing::debug!(
            pipeline.id = %status.pipeline,
            status.context = status.context,
            failures = backoff.failures(),
            "a status could not be sent; it is tried again"
        );
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn last_call(stopping: &CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(LAST_CALL).await;
}

const fn state(state: store::StatusState) -> StatusState {
    match state {
        store::StatusState::Pending => StatusState::Pending,
        store::StatusState::Success => StatusState::Success,
        store::StatusState::Failure => StatusState::Failure,
        store::StatusState::Error => StatusState::Error,
    }
}
