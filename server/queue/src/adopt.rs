//! `adopt`: taking over places whose holder is gone.

use api::Reach;
use api::runner::Holder;
use api::runner::presence::{AdoptCandidate, AdoptionResult};

use crate::agent::Agent;
use crate::job::Job;
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Gives an open attempt to an agent that sees its place, if its holder's presence has ended.
    ///
    /// Compare-and-set: the candidate names the holder and incarnation that the attempt must still have.
    /// `keeper` is that holder as the server knows it. Who holds it already gets the same answer again.
    /// [`Agent::hear`] comes first.
    pub fn adopt(
        &mut self,
        candidate: &AdoptCandidate,
        by: &Holder,
        reach: &Reach,
        keeper: Option<&Agent>,
        now: Time,
    ) -> AdoptionResult {
        let Ok(index) = self.index(candidate.attempt.number) else {
            return AdoptionResult::Refused;
        };
        let attempt = &mut self.attempts[index];
        if attempt.reach != *reach && on(Rule::AdoptNeedsReach) {
            return AdoptionResult::Refused;
        }
        if !attempt.is_open() {
            return AdoptionResult::Over;
        }
        let adopted = AdoptionResult::Adopted {
            terms: attempt.terms.clone(),
        };
        if attempt.holder.agent == by.agent {
            if attempt.must_be_held_by(by).is_err() {
                return AdoptionResult::Refused;
            }
            attempt.listed = true;
            attempt.resume(by, now);
            return adopted;
        }
        let present =
            keeper.is_some_and(|keeper| keeper.id == attempt.holder.agent && keeper.is_present(now));
        if present && on(Rule::AdoptNeedsAbsence) {
            return AdoptionResult::Refused;
        }
        if candidate.held_by != attempt.holder && on(Rule::AdoptComparesHolder) {
            return AdoptionResult::Refused;
        }
        attempt.holder = by.clone();
        attempt.reach = reach.clone();
        attempt.listed = true;
        attempt.resume(by, now);
        adopted
    }
}
