//! Places that nobody looks after: those whose agent is gone are adopted, those whose attempt is over are
//! removed. Nothing is touched without the server's word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::runner::Holder;
use api::runner::presence::{
    AdoptCandidate, AdoptRequest, AdoptionResult, AttemptStatus, Life, StatusRequest,
};
use api::{AttemptRef, Terms};
use client::{ClientError, Effort};
use driver::{Labels, Place};

use crate::error::chain;
use crate::shared::Shared;
use crate::state::Record;

/// Looks after stray places until the agent stops: once at its start, then twice in each presence term,
/// because a create may complete after the agent that asked for it has died.
pub(crate) async fn tidy_up(shared: Arc<Shared>) {
    let mut over = BTreeSet::new();
    loop {
        let interval = shared.terms().presence.duration() / 2;
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = round(&shared, interval, &mut over) => {}
        }
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// One look at all places. `over` are those of other agents that were over at the last look.
async fn round(shared: &Arc<Shared>, patience: Duration, over: &mut BTreeSet<AttemptRef>) {
    let places = match shared.driver().list().await {
        Ok(places) => places,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "could not list places");
            return;
        }
    };
    let stray: BTreeMap<AttemptRef, Labels> = places
        .into_iter()
        .map(|Place { labels, .. }| (labels.attempt.clone(), labels))
        .filter(|(attempt, _)| !shared.holdings.holds(attempt))
        .collect();
    // What is gone needs no second look.
    over.retain(|attempt| stray.contains_key(attempt));
    if stray.is_empty() {
        return;
    }
    if let Err(error) = look_after(shared, &stray, over, Effort::Once(patience)).await {
        tracing::warn!(error = %error.chain(), "could not ask about stray places; trying again later");
    }
}

async fn look_after(
    shared: &Arc<Shared>,
    stray: &BTreeMap<AttemptRef, Labels>,
    over: &mut BTreeSet<AttemptRef>,
    effort: Effort,
) -> Result<(), ClientError> {
    let request = StatusRequest {
        attempts: stray.keys().cloned().collect(),
    };
    let answer = shared.client.attempts_status(&request, effort).await?;
    let mut candidates = Vec::new();
    for AttemptStatus {
        attempt,
        life,
        holder,
    } in answer.attempts
    {
        let Some(labels) = stray.get(&attempt) else {
            continue;
        };
        match life {
            Life::Over => sweep(shared, labels, over).await,
            // A place of another installation.
            Life::Unknown => {}
            Life::Live => {
                let held_by = holder.unwrap_or_else(|| Holder {
                    agent: labels.agent.clone(),
                    incarnation: labels.incarnation,
                });
                if held_by.agent == shared.holder().agent {
                    // This agent's own, whose record is lost.
                    take_on(shared, labels, shared.terms()).await;
                } else {
                    candidates.push(AdoptCandidate { attempt, held_by });
                }
            }
        }
    }
    if candidates.is_empty() {
        return Ok(());
    }
    let request = AdoptRequest {
        holder: shared.holder().clone(),
        reach: shared.driver().reach(),
        candidates,
    };
    for adoption in shared.client.adopt(&request, effort).await?.attempts {
        let Some(labels) = stray.get(&adoption.attempt) else {
            continue;
        };
        match adoption.result {
            AdoptionResult::Adopted { terms } => {
                tracing::info!(attempt = %adoption.attempt, agent.id = %labels.agent, "adopted: its agent is gone");
                take_on(shared, labels, terms).await;
            }
            AdoptionResult::Over => sweep(shared, labels, over).await,
            AdoptionResult::Refused => {}
        }
    }
    Ok(())
}

async fn take_on(shared: &Arc<Shared>, labels: &Labels, terms: Terms) {
    let record = Record {
        labels: labels.clone(),
        terms,
        nonce: None,
    };
    if let Err(error) = shared.state.hold(record.clone()).await {
        // It is looked after all the same; only the next start would have to ask again.
        tracing::error!(attempt = %labels.attempt, error = %chain(&error), "could not write down an attempt");
    }
    shared.resume(record);
}

async fn sweep(shared: &Arc<Shared>, labels: &Labels, over: &mut BTreeSet<AttemptRef>) {
    let attempt = &labels.attempt;
    if shared.holdings.holds(attempt) {
        return;
    }
    // An agent that lives, or comes back soon, removes its own places, and tells how they ended: only what it
    // reads there makes the cause of an infrastructure failure a sharp one.
    if labels.agent != shared.holder().agent && over.insert(attempt.clone()) {
        return;
    }
    match shared.driver().remove(attempt).await {
        Ok(()) => tracing::info!(attempt = %attempt, "removed a place whose attempt is over"),
        Err(error) => {
            tracing::error!(attempt = %attempt, error = %chain(&error), "could not remove a place; trying again later");
        }
    }
}
