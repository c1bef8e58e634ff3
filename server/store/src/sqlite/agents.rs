//! Container agents: heard, renewed, given up.

use std::sync::Arc;

use api::runner::Holder;
use api::runner::presence::{PresenceRequest, PresenceResponse, Standing, Whose};
use api::{AgentId, AttemptRef, Cause, Millis, Reach};
use queue::{Agent, Call, Refusal, Reporter, Time};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change::Change;
use super::column::{from_json, to_json};
use super::jobs;
use super::memory::{KeptAgent, Memory};
use crate::error::StoreError;

const COLUMNS: &str = "SELECT aggregate, resource_class, runs_services FROM agents";

fn kept(row: &Row<'_>) -> Result<KeptAgent, StoreError> {
    let stored: String = row.get(0)?;
    Ok(KeptAgent {
        agent: from_json(&stored)?,
        resource_class: row.get(1)?,
        runs_services: row.get(2)?,
        stored: stored.into(),
    })
}

/// Loads at the start the agents that were present. Each gets a full term.
pub(super) fn load_present(
    sql: &Connection,
    memory: &mut Memory,
    presence: Millis,
    now: Time,
) -> Result<(), StoreError> {
    let mut statement = sql.prepare(&format!("{COLUMNS} WHERE active = 1"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut kept = kept(row)?;
        kept.agent.after_restart(presence, now);
        memory.set_agent(kept.agent.id.clone(), Some(kept));
    }
    Ok(())
}

/// An agent from memory, or from the file where its presence has ended.
pub(super) fn find(change: &Change<'_>, id: &AgentId) -> Result<Option<KeptAgent>, StoreError> {
    if let Some(kept) = change.memory.agents().get(id) {
        return Ok(Some(kept.clone()));
    }
    let found = change
        .sql
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
        .query_row([id.as_str()], |row| Ok(kept(row)))
        .optional()?;
    found.transpose()
}

/// Saves an agent that was just heard: to the file where more than its presence changed.
pub(super) fn save(change: &mut Change<'_>, mut kept: KeptAgent) -> Result<(), StoreError> {
    let id = kept.agent.id.clone();
    let json = to_json(&kept.agent)?;
    let same = change.memory.agents().get(&id).is_some_and(|before| {
        *before.stored == *json
            && before.resource_class == kept.resource_class
            && before.runs_services == kept.runs_services
    });
    if !same {
        change
            .sql
            .prepare_cached(
                "INSERT INTO agents (id, resource_class, runs_services, active, aggregate) VALUES (?1, ?2, ?3, 1, ?4)
                 ON CONFLICT (id) DO UPDATE SET resource_class = ?2, runs_services = ?3, active = 1, aggregate = ?4",
            )?
            .execute(params![id.as_str(), kept.resource_class, kept.runs_services, json])?;
        kept.stored = json.into();
    }
    change.memory.set_agent(id, Some(kept));
    Ok(())
}

/// Hears a call that names the agent's reach; makes the agent where it is new. The caller saves it.
pub(super) fn hear(
    change: &Change<'_>,
    class: &str,
    holder: &Holder,
    reach: &Reach,
) -> Result<Result<KeptAgent, Refusal>, StoreError> {
    let presence = change.settings.terms.presence;
    let mut kept = match find(change, &holder.agent)? {
        Some(kept) => kept,
        None => KeptAgent {
            agent: Agent::new(holder, reach, presence, change.now),
            resource_class: class.to_owned(),
            // Until its first claim says so.
            runs_services: false,
            stored: Arc::from(""),
        },
    };
    if let Err(refusal) = kept.agent.hear(holder, Some(reach), presence, change.now) {
        return Ok(Err(refusal));
    }
    if kept.resource_class != class {
        class.clone_into(&mut kept.resource_class);
    }
    Ok(Ok(kept))
}

/// Hears a report of an agent. One that was never heard holds nothing, which the attempt's rules will say.
pub(super) fn hear_known(
    change: &mut Change<'_>,
    holder: &Holder,
) -> Result<Result<(), Refusal>, StoreError> {
    let Some(mut kept) = find(change, &holder.agent)? else {
        return Ok(Ok(()));
    };
    let presence = change.settings.terms.presence;
    match kept.agent.hear(holder, None, presence, change.now) {
        Ok(_) => save(change, kept).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Renews presence and what is listed.
pub(crate) fn presence(
    change: &mut Change<'_>,
    class: &str,
    request: &PresenceRequest,
) -> Result<Result<PresenceResponse, Refusal>, StoreError> {
    let kept = match hear(change, class, &request.holder, &request.reach)? {
        Ok(kept) => kept,
        Err(refusal) => return Ok(Err(refusal)),
    };
    save(change, kept)?;
    let mut attempts = Vec::new();
    for held in &request.holds {
        attempts.push(listed(change, &request.holder, &held.attempt)?);
    }
    Ok(Ok(PresenceResponse {
        attempts,
        drain: false,
        terms: change.settings.terms.clone(),
    }))
}

/// How an attempt stands that an agent lists; renews it.
pub(super) fn listed(
    change: &mut Change<'_>,
    holder: &Holder,
    attempt: &AttemptRef,
) -> Result<Standing, StoreError> {
    let Some(mut kept) = jobs::find(change, &attempt.task)? else {
        return Ok(Standing {
            attempt: attempt.clone(),
            whose: Whose::Moved,
            cancel: None,
        });
    };
    let standing = kept.job.presence(attempt.number, holder, change.now);
    jobs::save(change, kept)?;
    Ok(standing)
}

/// Forgets agents whose presence has ended: what they hold may be adopted now.
pub(super) fn end_presence(change: &mut Change<'_>) -> Result<(), StoreError> {
    let now = change.now;
    let absent: Vec<AgentId> = change
        .memory
        .agents()
        .values()
        .filter(|kept| !kept.agent.is_present(now))
        .map(|kept| kept.agent.id.clone())
        .collect();
    for id in absent {
        change
            .sql
            .prepare_cached("UPDATE agents SET active = 0 WHERE id = ?1")?
            .execute([id.as_str()])?;
        tracing::info!(agent.id = %id, "an agent's presence ended");
        change.memory.set_agent(id, None);
    }
    Ok(())
}

/// Takes the word of the one who started an agent that it is gone and all its places with it.
pub(crate) fn gone(change: &mut Change<'_>, id: &AgentId) -> Result<(), StoreError> {
    for (attempt, holder, class) in held_by(change, id) {
        let by = Reporter::Agent { class, holder };
        let call = Call::Cause {
            by,
            cause: Some(Cause::AgentLost),
            place_removed: true,
        };
        if let Err(refusal) = jobs::call(change, &attempt, call, "")? {
            tracing::warn!(attempt = %attempt, %refusal, "an attempt of a lost agent could not be closed");
        }
    }
    if let Some(mut kept) = change.memory.agents().get(id).cloned() {
        kept.agent.after_restart(Millis(0), change.now);
        change.memory.set_agent(id.clone(), Some(kept));
    }
    end_presence(change)
}

/// The open attempts that an agent holds.
pub(super) fn held_by(change: &Change<'_>, id: &AgentId) -> Vec<(AttemptRef, Holder, String)> {
    let mut held: Vec<_> = change
        .memory
        .jobs()
        .values()
        .filter_map(|kept| {
            let open = kept
                .job
                .open_attempt()
                .filter(|attempt| attempt.holder.agent == *id)?;
            let attempt = AttemptRef::new(kept.job.task.clone(), open.number);
            Some((attempt, open.holder.clone(), kept.job.resource_class.clone()))
        })
        .collect();
    held.sort();
    held
}
