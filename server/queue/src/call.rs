//! Who may report on an attempt, and the reports that give it up or move it on.

use api::runner::Holder;
use api::{Cause, InstanceId, Outcome, Phase};

use crate::attempt::{Attempt, Closer, Teller};
use crate::event::{Effect, Reporter};
use crate::job::Job;
use crate::refusal::Refusal;
use crate::rules::{Rule, on};
use crate::time::Time;

/// How an attempt is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivingUp {
    /// For another attempt; may be refused.
    Unclaim,
    /// As an infrastructure failure; never refused.
    Fail,
}

impl Job {
    /// Takes an unclaim or a fail event.
    pub(crate) fn give_up(
        &mut self,
        index: usize,
        how: GivingUp,
        by: &Reporter,
        message: String,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let teller = self.teller(index, by)?;
        let closer = match how {
            GivingUp::Unclaim => Closer::Unclaim(teller.clone()),
            GivingUp::Fail => Closer::Fail(teller.clone()),
        };
        if self.attempts[index].repeats(&closer) {
            return Ok(());
        }
        self.attempts[index].must_be_open()?;
        if how == GivingUp::Unclaim && !self.may_be_given_back(index) && on(Rule::UnclaimMayBeRefused) {
            return Err(Refusal::RetriesExhausted);
        }
        let attempt = &mut self.attempts[index];
        let knows = match &teller {
            // GOAT has killed its steps before it gives up. Without an instance two starts look alike, and one
            // cannot speak for the other.
            Teller::Place(instance) => attempt.called && instance.is_some(),
            // The agent has not removed the place yet: it waits for this answer.
            Teller::Agent(_) => !on(Rule::GivingUpIsNotGone),
        };
        if knows {
            attempt.place_gone = Some(teller);
        }
        self.close(
            index,
            Outcome::InfraFailed,
            Some(Cause::Internal { message }),
            closer,
            now,
            effects,
        );
        Ok(())
    }

    /// Takes a phase.
    pub(crate) fn report_phase(
        &mut self,
        index: usize,
        by: &Reporter,
        phase: Phase,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match by {
            Reporter::Agent { .. } => {
                self.teller(index, by)?;
                self.attempts[index].must_be_open()?;
                self.attempts[index].renew_by_agent(now);
            }
            Reporter::Place { instance } => self.hear_task_agent(index, instance.as_ref(), now, effects)?,
        }
        self.attempts[index].reach(phase, now, effects);
        Ok(())
    }

    /// Who a reporter is to this attempt.
    pub(crate) fn teller(&self, index: usize, by: &Reporter) -> Result<Teller, Refusal> {
        let attempt = &self.attempts[index];
        match by {
            Reporter::Agent { class, holder } => {
                if *class != self.resource_class {
                    return Err(Refusal::Forbidden(format!(
                        "this token is for resource class {class}"
                    )));
                }
                attempt.must_be_held_by(holder)?;
                Ok(Teller::Agent(holder.agent.clone()))
            }
            Reporter::Place { instance } => {
                attempt.must_be_bound_to(instance.as_ref())?;
                Ok(Teller::Place(instance.clone()))
            }
        }
    }
}

impl Attempt {
    /// Refuses an agent that does not hold it, and an older process of the one that does.
    pub(crate) fn must_be_held_by(&self, holder: &Holder) -> Result<(), Refusal> {
        if on(Rule::OnlyHolderReports) && holder.agent != self.holder.agent {
            return Err(Refusal::Gone);
        }
        if on(Rule::OlderIncarnationIsGone)
            && holder.agent == self.holder.agent
            && holder.incarnation < self.holder.incarnation
        {
            return Err(Refusal::Gone);
        }
        Ok(())
    }

    /// Refuses another start of the place once one of them is bound.
    pub(crate) fn must_be_bound_to(&self, instance: Option<&InstanceId>) -> Result<(), Refusal> {
        if on(Rule::OnlyBoundInstanceCalls) && self.called && instance != self.instance.as_ref() {
            return Err(Refusal::Gone);
        }
        Ok(())
    }

    /// Refuses when something closed it.
    pub(crate) fn must_be_open(&self) -> Result<(), Refusal> {
        if on(Rule::ClosedTakesNoCalls) && !self.is_open() {
            return Err(Refusal::Gone);
        }
        Ok(())
    }

    /// Whether this is the call that closed it.
    pub(crate) fn repeats(&self, closer: &Closer) -> bool {
        on(Rule::ClosingCallRepeats) && self.closed.as_ref().is_some_and(|closed| closed.by == *closer)
    }

    /// Notes a phase, if it is further than the one before.
    pub(crate) fn reach(&mut self, phase: Phase, now: Time, effects: &mut Vec<Effect>) {
        if phase == self.phase || (phase < self.phase && on(Rule::PhaseGoesForward)) {
            return;
        }
        self.phase = phase;
        self.phase_since = now;
        if phase >= Phase::Starting {
            self.started_at.get_or_insert(now);
        }
        effects.push(Effect::Phase {
            attempt: self.number,
            phase,
        });
    }
}
