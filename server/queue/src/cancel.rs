//! Cancelling a job.

use api::runner::presence::CancelOrder;
use api::{Cause, Outcome};

use crate::attempt::{After, Cancelling};
use crate::event::Effect;
use crate::job::{Job, JobState};
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Cancels the job.
    ///
    /// Without an attempt it ends at once. An open attempt is told to stop, and closes as cancelled by
    /// whatever closes it next. Once an attempt has failed by infrastructure and the job is not queued again
    /// yet, the attempt stays as it is and the job ends. Of two orders the first stands.
    pub(crate) fn cancel(&mut self, order: CancelOrder, now: Time, effects: &mut Vec<Effect>) {
        let cause = Cause::Cancelled {
            by: order.by.clone(),
            why: order.why.clone(),
        };
        match &self.state {
            JobState::Ended(_) => {}
            JobState::Blocked | JobState::Queued { .. } => {
                self.end(Outcome::Cancelled, Some(cause), now, effects);
            }
            JobState::Running => {
                let Some(attempt) = self.attempts.last_mut() else {
                    return;
                };
                match &mut attempt.closed {
                    None if attempt.cancelling.is_none() => {
                        let grace = attempt.terms.grace.saturating_add(attempt.terms.slack);
                        attempt.cancelling = Some(Cancelling {
                            order,
                            deadline: now.after(grace),
                        });
                        effects.push(Effect::CancelOrdered {
                            attempt: attempt.number,
                        });
                    }
                    None => {}
                    Some(closed) if on(Rule::CancelInWindowEndsJob) => {
                        if matches!(closed.after, After::Requeue { .. }) {
                            closed.after = After::Settled;
                        }
                        self.end(Outcome::Cancelled, Some(cause), now, effects);
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

impl Cancelling {
    /// The cause of an attempt that was stopped.
    pub(crate) fn cause(&self) -> Cause {
        Cause::Cancelled {
            by: self.order.by.clone(),
            why: self.order.why.clone(),
        }
    }
}
