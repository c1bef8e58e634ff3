//! `adopt` and `attempts/status`: what an agent may take over and may remove.

use api::runner::presence::{
    AdoptCandidate, AdoptRequest, AdoptResponse, Adoption, AdoptionResult, AttemptStatus, Life,
    StatusRequest, StatusResponse,
};
use queue::Refusal;

use super::change::Change;
use super::{agents, audit, jobs};
use crate::error::StoreError;

/// Gives an agent what its holder has left.
pub(crate) fn adopt(
    change: &mut Change<'_>,
    class: &str,
    request: &AdoptRequest,
) -> Result<Result<AdoptResponse, Refusal>, StoreError> {
    let agent = match agents::hear(change, class, &request.holder, &request.reach)? {
        Ok(agent) => agent,
        Err(refusal) => return Ok(Err(refusal)),
    };
    agents::save(change, agent)?;
    let mut attempts = Vec::new();
    for candidate in &request.candidates {
        attempts.push(Adoption {
            attempt: candidate.attempt.clone(),
            result: adopt_one(change, request, candidate)?,
        });
    }
    Ok(Ok(AdoptResponse { attempts }))
}

fn adopt_one(
    change: &mut Change<'_>,
    request: &AdoptRequest,
    candidate: &AdoptCandidate,
) -> Result<AdoptionResult, StoreError> {
    let Some(mut kept) = jobs::find(change, &candidate.attempt.task)? else {
        return Ok(AdoptionResult::Refused);
    };
    let before = kept
        .job
        .attempt(candidate.attempt.number)
        .map(|attempt| attempt.holder.clone());
    let keeper = match &before {
        Some(holder) => agents::find(change, &holder.agent)?,
        None => None,
    };
    let keeper = keeper.as_ref().map(|keeper| &keeper.agent);
    let result = kept
        .job
        .adopt(candidate, &request.holder, &request.reach, keeper, change.now);
    jobs::save(change, kept)?;
    let taken_from = before.filter(|holder| holder.agent != request.holder.agent);
    if let (AdoptionResult::Adopted { .. }, Some(from)) = (&result, taken_from) {
        let actor = format!("agent {}", request.holder.agent);
        let detail = format!("from agent {}", from.agent);
        audit::write(
            change,
            &actor,
            "attempt.adopted",
            &candidate.attempt.to_string(),
            &detail,
        )?;
    }
    Ok(result)
}

/// Says which attempts live.
pub(crate) fn status(
    change: &mut Change<'_>,
    request: &StatusRequest,
) -> Result<Result<StatusResponse, Refusal>, StoreError> {
    let mut attempts = Vec::new();
    for attempt in &request.attempts {
        let known = jobs::find(change, &attempt.task)?;
        attempts.push(known.map_or_else(
            || AttemptStatus {
                attempt: attempt.clone(),
                life: Life::Unknown,
                holder: None,
            },
            |kept| kept.job.status(attempt.number),
        ));
    }
    Ok(Ok(StatusResponse { attempts }))
}
