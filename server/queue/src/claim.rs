//! Claims: giving a queued job to an agent, and taking back what never arrived.

use api::runner::Holder;
use api::{Cause, Outcome, Phase, Reach, Terms};

use crate::attempt::{After, Attempt, Closer};
use crate::event::Effect;
use crate::job::{Job, JobState};
use crate::refusal::Refusal;
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Gives a queued job to an agent: a new attempt, whose lease the agent holds. Answers its number.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is not queued (any more).
    pub fn claim(
        &mut self,
        holder: &Holder,
        reach: &Reach,
        terms: &Terms,
        now: Time,
    ) -> Result<u32, Refusal> {
        if !matches!(self.state, JobState::Queued { .. }) {
            return Err(Refusal::NotFound);
        }
        let number = self
            .attempts
            .last()
            .map_or(1, |attempt| attempt.number.saturating_add(1));
        self.attempts.push(Attempt {
            number,
            holder: holder.clone(),
            reach: reach.clone(),
            terms: terms.clone(),
            claimed_at: now,
            phase: Phase::Claimed,
            phase_since: now,
            listed: false,
            called: false,
            instance: None,
            started_at: None,
            began: false,
            lease_ends: now.after(terms.lease_before),
            cancelling: None,
            told: None,
            place_gone: None,
            closed: None,
        });
        self.state = JobState::Running;
        Ok(number)
    }

    /// Answers a repeated nonce: whether its claim may be given again. Renews the lease while the agent holds
    /// it.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the attempt is closed, or another agent's.
    pub fn reclaim(&mut self, number: u32, holder: &Holder, now: Time) -> Result<(), Refusal> {
        let index = self.index(number)?;
        let attempt = &mut self.attempts[index];
        attempt.must_be_held_by(holder)?;
        attempt.must_be_open()?;
        attempt.resume(holder, now);
        Ok(())
    }

    /// Gives back the open attempt of an agent that sent a new nonce, if the claim never arrived: the agent has
    /// listed it neither in this claim nor to presence, and it has reached no phase and no first call. Anything
    /// else goes on under its lease. Call [`presence`](Self::presence) for what the claim lists first.
    ///
    /// There is no place, so there is no window: the job is queued again at once.
    pub fn give_back(&mut self, holder: &Holder, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(index) = self.attempts.len().checked_sub(1) else {
            return effects;
        };
        let attempt = &self.attempts[index];
        let arrived = attempt.listed && on(Rule::ListedIsNotGivenBack);
        let started = attempt.costs() && on(Rule::StartedIsNotGivenBack);
        if !attempt.is_open()
            || attempt.holder.agent != holder.agent
            || arrived
            || started
            || !on(Rule::NewNonceGivesBack)
        {
            return effects;
        }
        let cause = Cause::Internal {
            message: "the claim never arrived at its agent".to_owned(),
        };
        self.close(
            index,
            Outcome::InfraFailed,
            Some(cause),
            Closer::GivenBack,
            now,
            &mut effects,
        );
        if matches!(self.attempts[index].after(), Some(After::Window { .. })) {
            self.end_window(index, now, &mut effects);
        }
        effects
    }
}

impl Attempt {
    /// Notes that its holder knows of it, and renews what the holder may renew.
    pub(crate) fn resume(&mut self, holder: &Holder, now: Time) {
        if holder.agent == self.holder.agent {
            self.holder.incarnation = self.holder.incarnation.max(holder.incarnation);
        }
        self.renew_by_agent(now);
    }
}
