//! `presence` and `attempts/status`: how an attempt stands with an agent.

use api::AttemptRef;
use api::runner::Holder;
use api::runner::presence::{AttemptStatus, Life, Standing, Whose};

use crate::job::Job;
use crate::time::Time;

impl Job {
    /// Says how an attempt that an agent lists stands, and renews its lease while the agent holds that.
    /// [`Agent::hear`](crate::Agent::hear) comes first. Also for what a claim lists.
    ///
    /// An attempt that the job does not have is `moved`: nobody may touch what the server does not know.
    pub fn presence(&mut self, number: u32, holder: &Holder, now: Time) -> Standing {
        let reference = AttemptRef::new(self.task.clone(), number);
        let standing = |whose, cancel| Standing {
            attempt: reference,
            whose,
            cancel,
        };
        let Ok(index) = self.index(number) else {
            return standing(Whose::Moved, None);
        };
        let attempt = &mut self.attempts[index];
        if attempt.must_be_held_by(holder).is_err() {
            return standing(Whose::Moved, None);
        }
        if !attempt.is_open() {
            return standing(Whose::Over, None);
        }
        attempt.listed = true;
        attempt.resume(holder, now);
        standing(Whose::Yours, self.cancel_order(number).cloned())
    }

    /// Says whether an attempt lives, and who holds it.
    #[must_use]
    pub fn status(&self, number: u32) -> AttemptStatus {
        let attempt = AttemptRef::new(self.task.clone(), number);
        match self.attempt(number) {
            None => AttemptStatus {
                attempt,
                life: Life::Unknown,
                holder: None,
            },
            Some(known) if known.is_open() => AttemptStatus {
                attempt,
                life: Life::Live,
                holder: Some(known.holder.clone()),
            },
            Some(_) => AttemptStatus {
                attempt,
                life: Life::Over,
                holder: None,
            },
        }
    }
}
