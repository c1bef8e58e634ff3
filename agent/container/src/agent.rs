//! The agent as a whole: its start, its parts, its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{AgentId, AttemptRef, Cause, Terms};
use client::Client;
use runtime::stop::Stops;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::AgentError;
use crate::claim::{Nonce, claim_tasks};
use crate::config::{AgentConfig, PlaceLife};
use crate::holdings::{Holdings, Stage};
use crate::presence;
use crate::shared::Shared;
use crate::state::{Found, Record, State};
use crate::tidy::tidy_up;

/// One process of one container agent.
#[derive(Debug)]
pub struct Agent {
    shared: Arc<Shared>,
    records: Vec<Record>,
    nonce: Nonce,
}

impl Agent {
    /// Takes the agent's folder and begins a new incarnation. Nothing is sent yet.
    ///
    /// # Errors
    /// [`AgentError::Held`], [`AgentError::State`] or [`AgentError::Url`].
    pub fn build(config: AgentConfig) -> Result<Self, AgentError> {
        let client = Client::builder(&config.server_url)
            .token(config.token.clone())
            .user_agent(format!("goatherd-agent/{}", runtime::build::VERSION))
            .build()
            .map_err(AgentError::Url)?;
        let (state, Found { records, nonce }) =
            State::open(&config.state_dir, &config.driver.reach(), config.state)?;
        let answered = records.iter().any(|record| record.nonce == Some(nonce));
        let nonce = Nonce {
            last: nonce,
            open: nonce > 0 && !answered,
        };
        let shared = Shared {
            config,
            client,
            state,
            holdings: Holdings::new(),
            terms: watch::Sender::new(Terms::default()),
            introduced: watch::Sender::new(false),
            drain: watch::Sender::new(false),
            stopping: CancellationToken::new(),
            quit: CancellationToken::new(),
            attempts: TaskTracker::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            records,
            nonce,
        })
    }

    /// The agent's id: the same at each start.
    #[must_use]
    pub fn id(&self) -> &AgentId {
        &self.shared.holder().agent
    }

    /// Runs until `stops.first` says to stop and what that waits for is over, or until `stops.second`.
    ///
    /// At the first, it takes nothing new. Where places survive it ([`PlaceLife::Survive`]) it waits only
    /// for what is being started or reported, and leaves what runs; where they end with it, it waits for
    /// all. At the second, it leaves everything as it is.
    ///
    /// # Errors
    /// [`AgentError::Refused`] where the server does not take it at its start, [`AgentError::Replaced`]
    /// once a newer process has its id, [`AgentError::Driver`] where places cannot be listed.
    pub async fn run(self, stops: Stops) -> Result<(), AgentError> {
        let Self {
            shared,
            records,
            nonce,
        } = self;
        let watching = tokio::spawn(pass_on(Arc::clone(&shared), stops));
        let result = match recover(&shared, records).await {
            Ok(()) => serve(&shared, nonce).await,
            Err(error) => Err(error),
        };
        shared.quit.cancel();
        shared.attempts.close();
        shared.attempts.wait().await;
        // The folder's lock is free once nothing shares it any more.
        watching.abort();
        watching.await.ok();
        shared.state.settle().await;
        result
    }
}

/// Passes stops on to the parts.
async fn pass_on(shared: Arc<Shared>, stops: Stops) {
    tokio::select! {
        () = stops.first.cancelled() => {}
        () = stops.second.cancelled() => {}
    }
    shared.stopping.cancel();
    stops.second.cancelled().await;
    shared.quit.cancel();
}

/// Takes up what the last process held.
async fn recover(shared: &Arc<Shared>, records: Vec<Record>) -> Result<(), AgentError> {
    let places = shared.driver().list().await?;
    let there: BTreeSet<&AttemptRef> = places.iter().map(|place| &place.labels.attempt).collect();
    for record in records {
        let attempt = &record.labels.attempt;
        match (shared.config.places, there.contains(attempt)) {
            (PlaceLife::Survive, true) => {
                tracing::info!(attempt = %attempt, "goes on: its place is there");
                shared.resume(record);
            }
            (PlaceLife::Survive, false) => {
                tracing::warn!(attempt = %attempt, "its place is gone");
                shared.bury(record, Cause::SupervisorLost { signal: None });
            }
            (PlaceLife::EndWithAgent, _) => {
                tracing::warn!(attempt = %attempt, "its place ended with the agent");
                shared.bury(record, Cause::AgentLost);
            }
        }
    }
    // A place with this agent's id and no record is a stray one: `tidy` asks the server about it.
    Ok(())
}

/// Runs the parts until the agent has stopped, or has to end.
async fn serve(shared: &Arc<Shared>, nonce: Nonce) -> Result<(), AgentError> {
    if !presence::introduce(shared).await? {
        return Ok(());
    }
    tracing::info!(
        agent.id = %shared.holder().agent,
        incarnation = shared.holder().incarnation,
        driver = shared.driver().name(),
        slots = shared.config.slots,
        server.url = shared.config.server_url,
        "ready for tasks"
    );
    let mut present = tokio::spawn(presence::keep_up(Arc::clone(shared)));
    let mut claiming = tokio::spawn(claim_tasks(Arc::clone(shared), nonce));
    let tidying = tokio::spawn(tidy_up(Arc::clone(shared)));

    let result = tokio::select! {
        ended = &mut present => flatten(ended),
        () = stopped(shared, &mut claiming) => Ok(()),
    };
    // Whatever ended it: nothing new is taken, and the parts come to their end.
    shared.stopping.cancel();
    shared.quit.cancel();
    if !claiming.is_finished() {
        // Something ends the agent at once: its nonce stays open, and the next start repeats it.
        claiming.abort();
        claiming.await.ok();
    }
    tidying.await.ok();
    if !present.is_finished() {
        return result.and(flatten(present.await));
    }
    result
}

fn flatten(ended: Result<Result<(), AgentError>, JoinError>) -> Result<(), AgentError> {
    match ended {
        Ok(result) => result,
        Err(error) => {
            unwind(error);
            Ok(())
        }
    }
}

/// Goes on with a part's panic; nobody aborts a part.
fn unwind(error: JoinError) {
    if error.is_panic() {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Returns once a stop was asked for and what it waits for is over.
async fn stopped(shared: &Arc<Shared>, claiming: &mut JoinHandle<()>) {
    // It gives back what was on its way, and ends before a stop only by a panic.
    if let Err(error) = claiming.await {
        unwind(error);
    }
    shared.stopping.cancelled().await;
    let stages: &[Stage] = match shared.config.places {
        PlaceLife::Survive => &[Stage::Starting, Stage::Ending],
        PlaceLife::EndWithAgent => &[Stage::Starting, Stage::Running, Stage::Ending],
    };
    let mut changes = shared.holdings.changes();
    let waiting = shared.holdings.count_in(stages);
    if waiting > 0 {
        tracing::info!(
            attempts = waiting,
            "stopping: waiting for attempts; a second signal ends at once"
        );
    }
    let over = async { while shared.holdings.count_in(stages) > 0 && changes.changed().await.is_ok() {} };
    let terms = shared.terms();
    // A report that the server does not take now is on disk, and told by the next start.
    let patience = terms.window.saturating_add(terms.slack).duration();
    tokio::select! {
        () = over => {}
        () = shared.quit.cancelled() => {}
        () = tokio::time::sleep(patience), if shared.config.places == PlaceLife::Survive => {}
    }
    let left = shared.holdings.count();
    if left > 0 {
        tracing::info!(attempts = left, "stopped; their places go on without this agent");
    }
}
