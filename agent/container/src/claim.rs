//! Asks for tasks: one open nonce at a time, on disk before it is sent, repeated until it is answered.

use std::sync::Arc;
use std::time::Duration;

use api::Millis;
use api::runner::claim::{Claim, ClaimRequest, Platform};
use client::{ClientError, Effort};
use driver::Order;

use crate::AgentError;
use crate::error::chain;
use crate::report::Answer;
use crate::shared::Shared;
use crate::state::Record;

/// The first pause after a call that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an agent that stops tries to close its nonce. What it leaves open costs the task its lease.
const FAREWELL: Duration = Duration::from_secs(3);

/// The claim nonce: a number, and whether it was sent and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// The last number that was used; 0 for none.
    pub(crate) last: u64,
    /// Whether it may still be unanswered.
    pub(crate) open: bool,
}

/// Asks for tasks while there are free slots, until the agent stops.
pub(crate) async fn claim_tasks(shared: Arc<Shared>, mut nonce: Nonce) {
    let mut pause = FIRST_PAUSE;
    // The last process may have closed it and not known: then a wait brings nothing.
    let mut is_repeated = nonce.open;
    while wait_for_a_slot(&shared).await {
        if let Err(error) = open(&shared, &mut nonce).await {
            tracing::error!(error = %chain(&error), "cannot ask for a task: the nonce cannot be written");
            rest(&shared, &mut pause).await;
            continue;
        }
        let wait = match is_repeated {
            true => Millis(0),
            false => shared.long_poll(Millis(u64::MAX)),
        };
        let asked = tokio::select! {
            asked = ask(&shared, nonce.last, wait, shared.free_slots()) => asked,
            () = shared.stopping.cancelled() => break,
        };
        match asked {
            Ok(claim) => {
                pause = FIRST_PAUSE;
                if let Some(claim) = claim {
                    take(&shared, claim, nonce.last).await;
                }
                (nonce.open, is_repeated) = (false, false);
            }
            Err(error) if error.is_gone() => {
                // The nonce is closed. Were it the incarnation, presence would hear the same and end all.
                (nonce.open, is_repeated) = (false, false);
                rest(&shared, &mut pause).await;
            }
            Err(error) => {
                tracing::warn!(error = %error.chain(), "could not ask for a task; trying again");
                rest(&shared, &mut pause).await;
            }
        }
    }
    if nonce.open {
        give_back(&shared, nonce.last).await;
    }
}

/// Waits until there is a free slot and nobody asked for a drain; false once the agent stops.
async fn wait_for_a_slot(shared: &Arc<Shared>) -> bool {
    let mut holdings = shared.holdings.changes();
    let mut drain = shared.drain.subscribe();
    while shared.free_slots() == 0 || *drain.borrow_and_update() {
        tokio::select! {
            _ = holdings.changed() => {}
            _ = drain.changed() => {}
            () = shared.stopping.cancelled() => return false,
        }
    }
    !shared.stopping.is_cancelled()
}

/// Makes sure that a nonce is open, and on disk.
async fn open(shared: &Arc<Shared>, nonce: &mut Nonce) -> Result<(), AgentError> {
    if !nonce.open {
        shared.state.use_nonce(nonce.last + 1).await?;
        *nonce = Nonce {
            last: nonce.last + 1,
            open: true,
        };
    }
    Ok(())
}

async fn ask(
    shared: &Arc<Shared>,
    nonce: u64,
    wait: Millis,
    free_slots: u32,
) -> Result<Option<Claim>, ClientError> {
    let request = ClaimRequest {
        holder: shared.holder().clone(),
        nonce,
        holds: shared.holdings.attempts(),
        free_slots,
        platform: platform(),
        driver: shared.driver().name().to_owned(),
        reach: shared.driver().reach(),
        name: shared.config.name.clone(),
        wait,
    };
    shared
        .client
        .claim(&request, Effort::Once(Shared::patience(wait)))
        .await
}

/// Holds what a claim brought: on disk first, because the next nonce tells the server that it arrived.
async fn take(shared: &Arc<Shared>, claim: Claim, nonce: u64) {
    let holder = shared.holder().clone();
    let url = shared.client.base_url().to_owned();
    let order = Order::from_claim(&claim, holder.agent, holder.incarnation, url);
    let record = Record {
        labels: order.labels.clone(),
        terms: claim.terms.clone(),
        nonce: Some(nonce),
    };
    if shared.holdings.holds(&claim.attempt) {
        return;
    }
    if let Err(error) = shared.state.hold(record.clone()).await {
        let error = chain(&error);
        tracing::error!(attempt = %claim.attempt, error, "cannot write down a claim, so it is given back");
        let message = format!("the agent cannot write down what it holds: {error}");
        shared.reporter(&record).unclaim(&message, FAREWELL).await;
        return;
    }
    tracing::info!(attempt = %claim.attempt, job = claim.job, "claimed");
    shared.begin(record, order);
}

/// Asks once more without waiting, so that the nonce is closed; a claim that it brings is given back.
async fn give_back(shared: &Arc<Shared>, nonce: u64) {
    let asked = tokio::time::timeout(FAREWELL, ask(shared, nonce, Millis(0), 0)).await;
    let Ok(Ok(Some(claim))) = asked else { return };
    if shared.holdings.holds(&claim.attempt) {
        return;
    }
    let holder = shared.holder().clone();
    let order = Order::from_claim(&claim, holder.agent, holder.incarnation, String::new());
    let record = Record {
        labels: order.labels,
        terms: claim.terms,
        nonce: Some(nonce),
    };
    let answer = shared
        .reporter(&record)
        .unclaim("the agent is stopping", FAREWELL)
        .await;
    if answer == Answer::Taken {
        tracing::info!(attempt = %claim.attempt, "a task that arrived during the stop was given back");
    }
}

async fn rest(shared: &Arc<Shared>, pause: &mut Duration) {
    tokio::select! {
        () = tokio::time::sleep(*pause) => {}
        () = shared.stopping.cancelled() => {}
    }
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

/// This machine, in Go's words.
fn platform() -> Platform {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform {
        os: std::env::consts::OS.to_owned(),
        arch: arch.to_owned(),
    }
}
