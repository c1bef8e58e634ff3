//! What GOAT and the task agent do in the place of an attempt.

use api::Outcome;

use super::agent::slot;
use super::step::{Broken, Step};
use super::world::{Message, Party, Place, Reply, Stage, Wire, World};

impl World {
    pub(super) fn place_steps(&self, index: usize, steps: &mut Vec<Step>) {
        let place = &self.places[index];
        if self.faults > 0 && !self.has_ended() {
            let other = self
                .places
                .iter()
                .any(|other| other.attempt == place.attempt && other.instance == 2);
            if !other && !self.ghost.removed[slot(place.attempt)] {
                steps.push(Step::SecondStart(place.attempt));
            }
        }
        if place.stage == Stage::Dead {
            return;
        }
        let with_task_agent = matches!(place.stage, Stage::Bound | Stage::Running | Stage::Ending(_));
        if self.faults > 0 && !self.has_ended() {
            steps.push(Step::KillPlace(index));
            if with_task_agent {
                steps.push(Step::KillTaskAgent(index));
            }
            if matches!(place.stage, Stage::Up | Stage::Bound | Stage::Running) && !place.hung {
                steps.push(Step::Hang(index));
            }
            if matches!(place.stage, Stage::Bound | Stage::Running) && !place.hung {
                steps.push(Step::Lapse(index));
            }
        }
        let attempt = &self.job.attempts[slot(place.attempt)];
        if with_task_agent && (!attempt.is_open() || (attempt.cancelling.is_some() && !place.cancel_seen)) {
            steps.push(Step::Heartbeat(index));
        }
        if place.stage == Stage::Running && !place.hung {
            steps.push(Step::Work(index));
        }
    }

    pub(super) fn start_place(&mut self, attempt: u8, instance: u8) {
        let place = Place {
            attempt,
            instance,
            stage: Stage::Up,
            executing: false,
            lapsed: false,
            hung: false,
            cancel_seen: false,
            waiting: None,
        };
        self.places.insert_sorted(place, |other| {
            (other.attempt, other.instance) < (attempt, instance)
        });
    }

    /// It does nothing any more but heartbeats, and not even these before its first call.
    pub(super) fn hang(&mut self, index: usize) {
        let place = &mut self.places[index];
        place.hung = true;
        let waiting = place.waiting.take();
        if place.stage == Stage::Up {
            self.bag.retain(|message| Some(*message) != waiting);
        }
    }

    /// Deletes a place so that nothing can start it again, and all that runs in it.
    pub(super) fn remove_place(&mut self, attempt: u8) {
        self.ghost.removed[slot(attempt)] = true;
        self.ghost.late[slot(attempt)] = false;
        for place in self.places.iter_mut().filter(|place| place.attempt == attempt) {
            place.end();
        }
    }

    /// Sends a place TERM: GOAT tells its task agent, which ends its steps and finishes; what hangs is killed.
    pub(super) fn terminate(&mut self, attempt: u8) {
        for place in self.places.iter_mut().filter(|place| place.attempt == attempt) {
            match place.stage {
                Stage::Up => {
                    place.waiting = None;
                    place.stage = Stage::GoatUnclaims;
                }
                Stage::Bound | Stage::Running => {
                    let outcome = if place.cancel_seen {
                        Outcome::Cancelled
                    } else {
                        Outcome::InfraFailed
                    };
                    place.stop(outcome);
                }
                _ => {}
            }
            if place.hung {
                place.end();
            }
        }
    }

    /// The next thing that a place does by itself.
    pub(super) fn work(&mut self, index: usize) {
        let place = &mut self.places[index];
        let wire = match place.stage {
            Stage::Up => Wire::Fetch,
            Stage::Bound => Wire::Began,
            Stage::Running => {
                self.ghost.completed[slot(place.attempt)] = true;
                place.stop(Outcome::Succeeded);
                let output = place.message(Wire::Output);
                return self.send(output);
            }
            Stage::Ending(outcome) => Wire::Finish(outcome),
            Stage::GoatUnclaims => Wire::Unclaim,
            Stage::GoatFails => Wire::Fail,
            Stage::Dead => unreachable!("the dead do not work"),
        };
        let message = place.message(wire);
        place.waiting = Some(message);
        self.send(message);
    }

    /// The task agent's heartbeat and its answer, in one step.
    pub(super) fn heartbeat(&mut self, index: usize, before: &Self) -> Result<(), Broken> {
        let place = self.places[index];
        let (reply, cancel) = self.serve_heartbeat(place.attempt, place.instance, before)?;
        let place = &mut self.places[index];
        if reply == Reply::Gone {
            place.end();
        } else if cancel && !place.cancel_seen {
            place.cancel_seen = true;
            if !place.hung && matches!(place.stage, Stage::Bound | Stage::Running) {
                place.stop(Outcome::Cancelled);
            }
        }
        Ok(())
    }

    /// What a place does with an answer.
    pub(super) fn place_hears(&mut self, index: usize, message: Message, reply: Reply) {
        let place = &mut self.places[index];
        place.waiting = None;
        match (message.wire, reply) {
            (Wire::Fetch, Reply::Done) => place.stage = Stage::Bound,
            (Wire::Began, Reply::Done) => {
                place.stage = Stage::Running;
                place.executing = true;
            }
            (Wire::Began, Reply::Cancelling) => {
                place.cancel_seen = true;
                place.stop(Outcome::Cancelled);
            }
            (Wire::Finish(_), Reply::Missing) => {
                let output = place.message(Wire::Output);
                if !self.bag.contains(&output) {
                    self.send(output);
                }
            }
            (Wire::Unclaim, Reply::Exhausted) => place.stage = Stage::GoatFails,
            // Done with it, or 410: it kills what it runs and ends.
            _ => place.end(),
        }
    }
}

impl Place {
    fn message(&self, wire: Wire) -> Message {
        let from = Party::Place {
            attempt: self.attempt,
            instance: self.instance,
        };
        Message {
            from,
            attempt: self.attempt,
            wire,
        }
    }

    /// Ends its steps, and has a record to send.
    fn stop(&mut self, outcome: Outcome) {
        self.executing = false;
        self.waiting = None;
        self.stage = Stage::Ending(outcome);
    }

    pub(super) fn end(&mut self) {
        *self = Self {
            stage: Stage::Dead,
            executing: false,
            waiting: None,
            hung: false,
            lapsed: false,
            cancel_seen: false,
            ..*self
        };
    }

    /// The task agent is killed: GOAT reaps its steps and tells.
    pub(super) fn lose_task_agent(&mut self) {
        self.executing = false;
        self.waiting = None;
        self.hung = false;
        self.stage = Stage::GoatUnclaims;
    }

    /// Nine tenths of its lease passed without an answer.
    pub(super) fn lapse(&mut self) {
        self.lapsed = true;
        self.stop(Outcome::InfraFailed);
    }
}
