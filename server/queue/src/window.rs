//! What comes after an infrastructure failure: the window, and whether the job is queued again.

use api::Outcome;
use api::cause::Requeue;

use crate::ATTEMPTS_BY_INFRASTRUCTURE;
use crate::attempt::{After, Attempt, MustBeGone};
use crate::event::Effect;
use crate::job::{Job, JobState};
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Ends the window: now the cause decides.
    pub(crate) fn end_window(&mut self, index: usize, now: Time, effects: &mut Vec<Effect>) {
        let again = self.requeued_after(index);
        let ended = self.ended().is_some() && on(Rule::CancelInWindowEndsJob);
        let attempt = &mut self.attempts[index];
        let ready = again.map(|not_before| {
            let place = if attempt.began && on(Rule::RequeueWaitsForPlace) {
                MustBeGone::Yes
            } else {
                MustBeGone::No
            };
            (not_before, place, attempt.place_gone_at(place).max(not_before))
        });
        let Some(closed) = &mut attempt.closed else { return };
        match ready {
            Some((not_before, place, ready)) if !ended => {
                closed.after = After::Requeue { not_before, place };
                if ready <= now {
                    self.requeue(index, now, effects);
                }
            }
            _ => {
                closed.after = After::Settled;
                let cause = closed.cause.clone();
                self.end(Outcome::InfraFailed, cause, now, effects);
            }
        }
    }

    /// Queues the job again.
    pub(crate) fn requeue(&mut self, index: usize, now: Time, effects: &mut Vec<Effect>) {
        if let Some(closed) = &mut self.attempts[index].closed {
            closed.after = After::Settled;
        }
        if self.state == JobState::Running {
            self.queue(now);
            effects.push(Effect::Requeued);
        }
    }

    /// Whether an unclaim of an open attempt could lead to another one.
    pub(crate) fn may_be_given_back(&self, index: usize) -> bool {
        let attempt = &self.attempts[index];
        attempt.cancelling.is_some() || (self.may_repeat(attempt) && self.has_attempts_left(attempt))
    }

    /// From when on a failed attempt's job may be queued again; none where it may not.
    fn requeued_after(&self, index: usize) -> Option<Time> {
        let attempt = &self.attempts[index];
        if !self.may_repeat(attempt) || !self.has_attempts_left(attempt) {
            return None;
        }
        let cause = attempt.closed.as_ref().and_then(|closed| closed.cause.as_ref())?;
        match cause.requeue() {
            Requeue::Yes => Some(Time::default()),
            // An agent may know sooner that nothing fits; the class's patience counts from the claim all the same.
            Requeue::AfterPatience => Some(attempt.claimed_at.after(attempt.terms.scheduling)),
            Requeue::No if on(Rule::CauseDecides) => None,
            Requeue::No => Some(Time::default()),
        }
    }

    /// Whether steps that may have run may run again.
    fn may_repeat(&self, attempt: &Attempt) -> bool {
        !attempt.began || self.retry_infra || !on(Rule::BeganNeedsRetryInfra)
    }

    /// Whether infrastructure may take another attempt after this one.
    fn has_attempts_left(&self, attempt: &Attempt) -> bool {
        let costs = |attempt: &Attempt| attempt.costs() || !on(Rule::NothingReachedCostsNothing);
        let earlier = self
            .attempts
            .iter()
            .filter(|earlier| earlier.number != attempt.number && costs(earlier))
            .count();
        earlier + usize::from(costs(attempt)) < ATTEMPTS_BY_INFRASTRUCTURE || !on(Rule::AttemptsAreCounted)
    }
}
