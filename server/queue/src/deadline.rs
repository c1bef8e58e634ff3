//! Deadlines: what happens to a job when nobody calls.

use api::{Cause, Outcome, Phase};
use serde::{Deserialize, Serialize};

use crate::attempt::{After, Attempt, Closer, MustBeGone};
use crate::event::Effect;
use crate::job::Job;
use crate::rules::{Rule, on};
use crate::time::Time;

/// What is due at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// A cancelled attempt was not closed by its task agent or agent.
    Cancel,
    /// The time limit is over, and the task agent did not say so.
    Limit,
    /// Patience with `scheduling` or `pulling` is over.
    Patience,
    /// The task lease ended.
    Lease,
    /// The window of an infrastructure failure ended.
    Window,
    /// The job may be queued again.
    Requeue,
}

impl Job {
    /// The next moment at which [`Event::Tick`](crate::Event::Tick) changes something; none where only a call
    /// can. A call may bring it forward or put it off.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.next_due().map(|(at, _)| at)
    }

    /// What is due next. Of two at one moment the first of [`Due`]'s order: people's orders before faults.
    pub(crate) fn next_due(&self) -> Option<(Time, Due)> {
        self.dues().into_iter().min()
    }

    /// All that is due some time.
    pub(crate) fn dues(&self) -> Vec<(Time, Due)> {
        let Some(attempt) = self.attempts.last() else {
            return Vec::new();
        };
        match attempt.closed.as_ref().map(|closed| &closed.after) {
            None => self.dues_of_open(attempt),
            Some(After::Window { ends }) if on(Rule::WindowEnds) => vec![(*ends, Due::Window)],
            Some(After::Requeue { not_before, place }) => {
                let place_gone = attempt.place_gone_at(*place);
                vec![(place_gone.max(*not_before), Due::Requeue)]
            }
            Some(After::Window { .. } | After::Settled) => Vec::new(),
        }
    }

    fn dues_of_open(&self, attempt: &Attempt) -> Vec<(Time, Due)> {
        let terms = &attempt.terms;
        let mut dues = Vec::with_capacity(4);
        if on(Rule::LeaseEnds) {
            dues.push((attempt.lease_ends, Due::Lease));
        }
        if let Some(cancelling) = &attempt.cancelling
            && on(Rule::ServerClosesCancelled)
        {
            dues.push((cancelling.deadline, Due::Cancel));
        }
        if let Some(started) = attempt.started_at
            && on(Rule::ServerKeepsTimeLimit)
        {
            let limit = self
                .time_limit
                .saturating_add(terms.grace)
                .saturating_add(terms.slack);
            dues.push((started.after(limit), Due::Limit));
        }
        if on(Rule::PatienceEnds) {
            match attempt.phase {
                // An agent that never reports a phase gets no more patience than one that does.
                Phase::Claimed | Phase::Scheduling => {
                    dues.push((attempt.claimed_at.after(terms.scheduling), Due::Patience));
                }
                Phase::Pulling => dues.push((attempt.phase_since.after(terms.pulling), Due::Patience)),
                Phase::Starting | Phase::Running | Phase::Finishing => {}
            }
        }
        dues
    }

    /// Does what is due by now, in order.
    pub(crate) fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((at, due)) = self.next_due()
            && at <= now
        {
            self.expire(due, now, effects);
        }
    }

    /// Does one thing that is due.
    pub(crate) fn expire(&mut self, due: Due, now: Time, effects: &mut Vec<Effect>) {
        let limit = self.time_limit;
        let Some(index) = self.attempts.len().checked_sub(1) else {
            return;
        };
        let attempt = &self.attempts[index];
        let closer = Closer::Due(due);
        match due {
            Due::Cancel => self.close(index, Outcome::Cancelled, None, closer, now, effects),
            Due::Limit => {
                let cause = Cause::Timeout { step: None, limit };
                self.close(index, Outcome::TimedOut, Some(cause), closer, now, effects);
            }
            Due::Patience => {
                let cause = attempt.out_of_patience();
                self.close(index, Outcome::InfraFailed, Some(cause), closer, now, effects);
            }
            Due::Lease => {
                let cause = if attempt.called {
                    Cause::TaskAgentLost { signal: None }
                } else {
                    Cause::AgentLost
                };
                self.close(index, Outcome::InfraFailed, Some(cause), closer, now, effects);
            }
            Due::Window => self.end_window(index, now, effects),
            Due::Requeue => self.requeue(index, now, effects),
        }
    }
}

impl Attempt {
    /// When nothing of the place can run a step any more, as far as is known now.
    pub(crate) fn place_gone_at(&self, must_be_gone: MustBeGone) -> Time {
        if must_be_gone == MustBeGone::No || self.place_gone.is_some() {
            Time::default()
        } else {
            self.lease_ends
        }
    }

    fn out_of_patience(&self) -> Cause {
        if self.phase == Phase::Pulling {
            let seconds = self.terms.pulling.0.div_ceil(1000);
            Cause::ImagePull {
                image: String::new(),
                message: format!("no end of the pull after {seconds} s"),
                certain: false,
            }
        } else {
            let seconds = self.terms.scheduling.0.div_ceil(1000);
            Cause::Unschedulable {
                message: format!("no place was found within {seconds} s"),
            }
        }
    }
}
