//! Closing an attempt: the first terminal outcome wins.

use api::{Cause, Outcome};

use crate::attempt::{After, Closed, Closer};
use crate::event::Effect;
use crate::job::Job;
use crate::rules::{Rule, on};
use crate::time::Time;

impl Job {
    /// Closes an attempt. Every way that an attempt can close comes through here.
    ///
    /// An infrastructure failure opens its window, and the job goes on from there; any other outcome is the
    /// job's. An attempt that is being cancelled closes as cancelled, whatever closes it.
    pub(crate) fn close(
        &mut self,
        index: usize,
        outcome: Outcome,
        cause: Option<Cause>,
        by: Closer,
        now: Time,
        effects: &mut Vec<Effect>,
    ) {
        let attempt = &mut self.attempts[index];
        let (outcome, cause) = match &attempt.cancelling {
            Some(cancelling) if on(Rule::CancellingClosesCancelled) => {
                (Outcome::Cancelled, Some(cancelling.cause()))
            }
            _ => (outcome, cause),
        };
        let (cause, after) = if outcome == Outcome::InfraFailed {
            let ends = now.after(attempt.terms.window);
            (Some(attempt.sharpest(cause)), After::Window { ends })
        } else {
            (cause, After::Settled)
        };
        attempt.closed = Some(Closed {
            outcome,
            cause: cause.clone(),
            at: now,
            by,
            after,
        });
        effects.push(Effect::AttemptClosed {
            attempt: attempt.number,
            outcome,
            cause: cause.clone(),
        });
        if outcome != Outcome::InfraFailed {
            self.end(outcome, cause, now, effects);
        }
    }
}
