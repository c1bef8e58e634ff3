//! Which job an agent gets.

use std::collections::BTreeMap;

use api::TaskId;

use crate::time::Time;

/// A queued job that could be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub task: TaskId,
    /// Its resource class.
    pub resource_class: String,
    /// Its pipeline's repository.
    pub repository: String,
    /// Since when it waits.
    pub since: Time,
    /// Whether it has services.
    pub services: bool,
}

/// What an agent offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The resource class of its token.
    pub resource_class: String,
    /// How many tasks more it could hold.
    pub free_slots: u32,
    /// Whether its driver runs services ([`runs_services`]).
    pub services: bool,
    /// Whether another agent of the class that runs services is present.
    pub services_elsewhere: bool,
}

/// Whether a driver of that name runs service containers. One that is not known may.
#[must_use]
pub fn runs_services(driver: &str) -> bool {
    driver != "local"
}

/// Chooses for an agent: of its class, from the repository that has least running, then the one that waits
/// longest, then the first.
///
/// A job with services is kept for an agent that runs them where there is one; where there is none, it is
/// given all the same, so that the driver's refusal says why it cannot run, and it does not wait for ever.
#[must_use]
pub fn choose(
    candidates: &[Candidate],
    offer: &Offer,
    running_by_repository: &BTreeMap<String, u32>,
) -> Option<usize> {
    let running = |repository: &str| running_by_repository.get(repository).copied().unwrap_or(0);
    if offer.free_slots == 0 {
        return None;
    }
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.resource_class == offer.resource_class)
        .filter(|(_, candidate)| !candidate.services || offer.services || !offer.services_elsewhere)
        .min_by_key(|(index, candidate)| (running(&candidate.repository), candidate.since, *index))
        .map(|(index, _)| index)
}
