//! What happens when nobody does anything.

use api::Phase;
use api::runner::presence::CancelOrder;

use super::agent::slot;
use super::operation::{Answer, Operation};
use super::step::Step;
use super::world::{Hold, NOW, Stage, World};
use crate::attempt::{After, Attempt};
use crate::deadline::Due;
use crate::event::Event;
use crate::job::Job;

impl World {
    pub(super) fn due_steps(&self, steps: &mut Vec<Step>) {
        for agent in 0..2_u8 {
            let process = &self.agents[usize::from(agent)];
            let known = self.known[usize::from(agent)].as_ref();
            if (!process.alive || process.cut) && known.is_some_and(|known| known.is_present(NOW)) {
                steps.push(Step::PresenceEnds(agent));
            }
        }
        for (attempt, late) in (1_u8..).zip(self.ghost.late) {
            if late {
                steps.push(Step::LateCreate(attempt));
            }
        }
        let Some(attempt) = self.job.attempts.last() else {
            return;
        };
        for (_, due) in self.job.dues() {
            if self.could_be_due(attempt, due) {
                steps.push(Step::Expire(due));
            }
        }
        if matches!(attempt.after(), Some(After::Requeue { .. }))
            && attempt.lease_ends > NOW
            && self.lease_may_end(attempt)
        {
            steps.push(Step::OldLeaseEnds);
        }
    }

    /// Whether a deadline could have been reached with everybody doing what they do.
    fn could_be_due(&self, attempt: &Attempt, due: Due) -> bool {
        let number = u8::try_from(attempt.number).unwrap();
        match due {
            Due::Cancel | Due::Window => true,
            Due::Lease => self.lease_may_end(attempt),
            // What can end by itself ends long before the limit, and what is cancelled long before it too.
            Due::Limit => {
                attempt.cancelling.is_none()
                    && self
                        .places
                        .iter()
                        .any(|place| place.attempt == number && place.hung)
            }
            Due::Patience => {
                attempt.cancelling.is_none()
                    && attempt.phase <= Phase::Pulling
                    && self.agents.iter().any(|agent| {
                        agent.alive && agent.slow && agent.holds[slot(number)] == Hold::Scheduled
                    })
            }
            Due::Requeue => match attempt.after() {
                Some(After::Requeue { place, .. }) => attempt.place_gone_at(*place) <= NOW,
                _ => false,
            },
        }
    }

    /// Whether nobody's call renews the lease, and a task agent that lives has killed its steps.
    fn lease_may_end(&self, attempt: &Attempt) -> bool {
        let number = u8::try_from(attempt.number).unwrap();
        let steps_may_run = self.places.iter().any(|place| {
            let bound = attempt.called && self.ghost.bound[slot(number)] == place.instance;
            place.attempt == number && bound && place.stage != Stage::Dead && !place.lapsed
        });
        if steps_may_run {
            return false;
        }
        let renews = |agent: u8| {
            let process = &self.agents[usize::from(agent)];
            if !process.alive || process.cut || process.holds[slot(number)] == Hold::No {
                return false;
            }
            let mut job = self.job.clone();
            job.change(Operation::EndLease, end_lease);
            self.job_presence(&mut job, agent, process.incarnation, number);
            job.lease() > Some(NOW)
        };
        !renews(0) && !renews(1)
    }

    pub(super) fn presence_ends(&mut self, agent: u8) {
        self.known.change(Operation::EndPresence { agent }, |known| {
            if let Some(known) = &mut known[usize::from(agent)] {
                known.presence_ends = NOW;
            }
            Answer::None
        });
    }

    pub(super) fn old_lease_ends(&mut self) {
        self.job.change(Operation::EndLease, end_lease);
    }

    pub(super) fn expire(&mut self, due: Due) {
        if due == Due::Lease {
            self.job.change(Operation::EndLease, end_lease);
        }
        self.job.change(Operation::Expire(due), |job| {
            job.expire(due, NOW, &mut Vec::new());
            Answer::None
        });
    }

    pub(super) fn cancel(&mut self) {
        self.cancel_left = false;
        self.ghost.cancelled = !self.has_ended();
        self.job.change(Operation::Cancel, |job| {
            let order = CancelOrder {
                by: "x".to_owned(),
                why: String::new(),
            };
            job.apply(Event::Cancel(order), NOW)
                .expect("a cancel is always taken");
            Answer::None
        });
    }
}

fn end_lease(job: &mut Job) -> Answer {
    job.set_lease(NOW);
    Answer::None
}
