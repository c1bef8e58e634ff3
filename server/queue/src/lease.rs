//! The task lease: held by the agent until the task agent's first call, by the task agent alone from then on.

use api::{InstanceId, Phase};

use crate::attempt::{Attempt, Closer};
use crate::event::{Effect, StepKind};
use crate::job::Job;
use crate::refusal::Refusal;
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Takes a call of the task agent: binds the attempt to its instance with the first one, and renews the
    /// lease.
    pub(crate) fn hear_task_agent(
        &mut self,
        index: usize,
        instance: Option<&InstanceId>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let attempt = &mut self.attempts[index];
        attempt.must_be_open()?;
        attempt.must_be_bound_to(instance)?;
        if !attempt.called {
            attempt.called = true;
            attempt.instance = instance.cloned();
            // The time limit must count even where the agent's report of `starting` was lost.
            if attempt.phase < Phase::Starting {
                attempt.reach(Phase::Starting, now, effects);
            }
        }
        attempt.renew(now);
        Ok(())
    }

    /// Takes a heartbeat. After its own terminal record there is no news: the record's answer says the rest.
    pub(crate) fn heartbeat(
        &mut self,
        index: usize,
        instance: Option<&InstanceId>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if self.attempts[index].finished_by(instance).is_some() {
            return Ok(());
        }
        self.hear_task_agent(index, instance, now, effects)
    }

    /// Takes output: after its own terminal record only what comes before it.
    pub(crate) fn output(
        &mut self,
        index: usize,
        instance: Option<&InstanceId>,
        last: u64,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match self.attempts[index].finished_by(instance) {
            Some(finished) if last <= finished => Ok(()),
            Some(_) => Err(Refusal::Gone),
            None => self.hear_task_agent(index, instance, now, effects),
        }
    }

    /// Takes a step's *began*.
    pub(crate) fn step_began(
        &mut self,
        index: usize,
        instance: Option<&InstanceId>,
        kind: StepKind,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.hear_task_agent(index, instance, now, effects)?;
        let attempt = &mut self.attempts[index];
        if attempt.cancelling.is_some() && on(Rule::CancellingRefusesBegan) {
            return Err(Refusal::Cancelling);
        }
        if kind == StepKind::Run && !attempt.began {
            attempt.began = true;
            // The longer term starts with this answer.
            attempt.renew(now);
        }
        if attempt.phase < Phase::Running {
            attempt.reach(Phase::Running, now, effects);
        }
        Ok(())
    }
}

impl Attempt {
    /// Gives the lease a full term.
    pub(crate) fn renew(&mut self, now: Time) {
        self.lease_ends = now.after(self.lease_term());
    }

    /// Gives the lease a full term if the agent still holds it.
    pub(crate) fn renew_by_agent(&mut self, now: Time) {
        if !self.called || !on(Rule::TaskAgentHoldsLease) {
            self.renew(now);
        }
    }

    /// The number of the last chunk before the terminal record of that instance, if it closed the attempt.
    fn finished_by(&self, caller: Option<&InstanceId>) -> Option<u64> {
        match &self.closed.as_ref()?.by {
            Closer::Finish { instance, record } if instance.as_ref() == caller => Some(record.last_sequence),
            _ => None,
        }
    }
}
