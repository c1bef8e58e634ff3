//! Claims: an agent's nonce, and a job for it.

use std::collections::BTreeMap;

use api::people::EventKind;
use api::plan::PlannedJob;
use api::runner::claim::{Claim, ClaimRequest};
use api::{AttemptRef, Phase, TaskId};
use queue::{Ask, Candidate, JobState, NonceAge, Offer, Refusal};
use rusqlite::params;

use super::change::Change;
use super::column::from_json;
use super::memory::{KeptAgent, KeptJob};
use super::{agents, audit, effects, events, jobs};
use crate::error::StoreError;
use crate::token::{self, Purpose};

/// What becomes of the nonce when there is no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenNone {
    /// It stays open: the long poll goes on.
    KeepNonce,
    /// It is closed: the long poll ends.
    CloseNonce,
}

/// Tries once to claim a job.
pub(crate) fn claim(
    change: &mut Change<'_>,
    class: &str,
    request: &ClaimRequest,
    none: WhenNone,
) -> Result<Result<Option<Claim>, Refusal>, StoreError> {
    let mut agent = match agents::hear(change, class, &request.holder, &request.reach)? {
        Ok(agent) => agent,
        Err(refusal) => return Ok(Err(refusal)),
    };
    agent.runs_services = queue::runs_services(&request.driver);
    let asked = agent.agent.ask(request.nonce);
    for attempt in &request.holds {
        agents::listed(change, &request.holder, attempt)?;
    }
    let answer = match asked {
        Ok(Ask::Again(attempt)) => again(change, request, &attempt)?,
        Ok(Ask::Nothing) => Ok(None),
        Ok(Ask::Search(age)) => {
            if age == NonceAge::New {
                give_back(change, request)?;
            }
            let found = search(change, class, request, &agent)?;
            match (&found, none) {
                (Some(claim), _) => agent.agent.claimed(claim.attempt.clone()),
                (None, WhenNone::CloseNonce) => agent.agent.close_nonce(),
                (None, WhenNone::KeepNonce) => {}
            }
            Ok(found)
        }
        Err(refusal) => Err(refusal),
    };
    agents::save(change, agent)?;
    Ok(answer)
}

/// The claim that this nonce got before.
fn again(
    change: &mut Change<'_>,
    request: &ClaimRequest,
    attempt: &AttemptRef,
) -> Result<Result<Option<Claim>, Refusal>, StoreError> {
    let Some(mut kept) = jobs::find(change, &attempt.task)? else {
        return Ok(Err(Refusal::Gone));
    };
    if let Err(refusal) = kept.job.reclaim(attempt.number, &request.holder, change.now) {
        return Ok(Err(refusal));
    }
    let claim = written(change, &kept, attempt.number)?;
    jobs::save(change, kept)?;
    Ok(Ok(claim))
}

/// Gives back the claims of this agent that never arrived.
fn give_back(change: &mut Change<'_>, request: &ClaimRequest) -> Result<(), StoreError> {
    let actor = format!("agent {}", request.holder.agent);
    for (attempt, _, _) in agents::held_by(change, &request.holder.agent) {
        if let Some(mut kept) = jobs::find(change, &attempt.task)? {
            let found = kept.job.give_back(&request.holder, change.now);
            effects::keep_and_settle(change, kept, &found, &actor, "")?;
        }
    }
    Ok(())
}

/// Looks for a job and claims it.
fn search(
    change: &mut Change<'_>,
    class: &str,
    request: &ClaimRequest,
    agent: &KeptAgent,
) -> Result<Option<Claim>, StoreError> {
    let candidates = candidates(change, class);
    if candidates.is_empty() {
        return Ok(None);
    }
    let now = change.now;
    let offer = Offer {
        resource_class: class.to_owned(),
        free_slots: request.free_slots,
        services: agent.runs_services,
        services_elsewhere: change.memory.agents().values().any(|other| {
            other.runs_services
                && other.resource_class == class
                && other.agent.id != agent.agent.id
                && other.agent.is_present(now)
        }),
    };
    let Some(index) = queue::choose(&candidates, &offer, &running(change)) else {
        return Ok(None);
    };
    take(change, request, &candidates[index].task)
}

/// The queued jobs of a class, in the order in which they were queued.
fn candidates(change: &Change<'_>, class: &str) -> Vec<Candidate> {
    let mut found: Vec<_> = change
        .memory
        .jobs()
        .values()
        .filter(|kept| kept.job.resource_class == class)
        .filter_map(|kept| {
            let JobState::Queued { since } = kept.job.state else {
                return None;
            };
            let candidate = Candidate {
                task: kept.job.task.clone(),
                resource_class: kept.job.resource_class.clone(),
                repository: kept.fixed.repository.clone(),
                since,
                services: kept.fixed.has_services,
            };
            Some(((since, kept.fixed.pipeline, kept.fixed.position), candidate))
        })
        .collect();
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How many jobs of each repository run.
fn running(change: &Change<'_>) -> BTreeMap<String, u32> {
    let mut running = BTreeMap::new();
    for kept in change.memory.jobs().values() {
        if kept.job.state == JobState::Running {
            *running.entry(kept.fixed.repository.clone()).or_insert(0) += 1;
        }
    }
    running
}

fn take(change: &mut Change<'_>, request: &ClaimRequest, task: &TaskId) -> Result<Option<Claim>, StoreError> {
    let Some(mut kept) = jobs::find(change, task)? else {
        return Ok(None);
    };
    let terms = &change.settings.terms;
    let Ok(number) = kept.job.claim(&request.holder, &request.reach, terms, change.now) else {
        return Ok(None);
    };
    let attempt = AttemptRef::new(task.clone(), number);
    change
        .sql
        .prepare_cached("INSERT INTO attempts (task, number, pipeline, position) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            task.as_str(),
            number,
            kept.fixed.pipeline,
            kept.fixed.position
        ])?;
    let actor = format!("agent {}", request.holder.agent);
    let detail = format!("{} on {}", request.driver, request.name);
    audit::write(change, &actor, "attempt.claimed", &attempt.to_string(), &detail)?;
    let job = kept.job.name.clone();
    if kept.job.attempts.len() == 1 {
        events::emit(
            change,
            kept.fixed.pipeline,
            &EventKind::JobStarted { job: job.clone() },
        )?;
    }
    let event = EventKind::JobPhase {
        job,
        phase: Phase::Claimed.to_string(),
        attempt: number,
        detail,
    };
    events::emit(change, kept.fixed.pipeline, &event)?;
    let claim = written(change, &kept, number)?;
    jobs::save(change, kept)?;
    Ok(claim)
}

/// The claim as the agent gets it.
fn written(change: &Change<'_>, kept: &KeptJob, number: u32) -> Result<Option<Claim>, StoreError> {
    let Some(claimed) = kept.job.attempt(number) else {
        return Ok(None);
    };
    let plan: String = change
        .sql
        .prepare_cached("SELECT plan FROM jobs WHERE task = ?1")?
        .query_row([kept.job.task.as_str()], |row| row.get(0))?;
    let plan: PlannedJob = from_json(&plan)?;
    let attempt = AttemptRef::new(kept.job.task.clone(), number);
    Ok(Some(Claim {
        token: token::of_attempt(&change.identity.server_key, Purpose::Task, &attempt),
        attempt,
        installation: change.identity.installation.clone(),
        job: kept.job.name.clone(),
        image: plan.image,
        services: plan.services,
        time_limit: kept.job.time_limit,
        terms: claimed.terms.clone(),
    }))
}
