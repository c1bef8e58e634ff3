//! What a container agent does.

use api::Phase;
use api::runner::Holder;
use api::runner::presence::Whose;

use super::server::{agent_id, holder};
use super::step::{Broken, Memory, Step};
use super::world::{ATTEMPTS, AgentProcess, Hold, Message, NONCES, NOW, Party, Reply, Stage, Wire, World};

/// The attempts' numbers.
pub(super) fn numbers() -> impl Iterator<Item = u8> {
    1..=u8::try_from(ATTEMPTS).unwrap()
}

pub(super) fn slot(attempt: u8) -> usize {
    usize::from(attempt) - 1
}

impl World {
    pub(super) fn agent_steps(&self, agent: u8, steps: &mut Vec<Step>) {
        let process = &self.agents[usize::from(agent)];
        if !process.alive {
            if process.incarnation == 1 && self.known[usize::from(agent)].is_some() && !self.has_ended() {
                steps.push(Step::Restart(agent, Memory::Kept));
                if process.open {
                    steps.push(Step::Restart(agent, Memory::Lost));
                }
            }
            return;
        }
        if process.cut {
            steps.push(Step::Heal(agent));
            return;
        }
        if self.faults > 0 {
            self.agent_faults(agent, steps);
        }
        if self.has_news(agent) {
            steps.push(Step::Presence(agent));
        }
        if process.waiting.is_some() {
            return;
        }
        if self.wants_to_claim(agent) {
            steps.push(Step::Claim(agent));
        }
        for attempt in numbers().filter(|attempt| Some(*attempt) <= self.last()) {
            self.steps_for_attempt(agent, attempt, steps);
        }
    }

    /// An agent that does nothing need not be killed: it may as well go on doing nothing.
    fn agent_faults(&self, agent: u8, steps: &mut Vec<Step>) {
        let process = &self.agents[usize::from(agent)];
        let holds = process.holds.iter().any(|hold| *hold != Hold::No);
        if holds || process.waiting.is_some() {
            steps.push(Step::KillAgent(agent));
        }
        if holds {
            steps.push(Step::CutOff(agent));
        }
        if !process.slow
            && process
                .holds
                .iter()
                .any(|hold| matches!(hold, Hold::Got | Hold::Scheduled))
        {
            steps.push(Step::Slow(agent));
        }
        if self.config.eager && self.known[usize::from(agent)].is_some() {
            steps.push(Step::CopyDisk(agent));
        }
    }

    fn steps_for_attempt(&self, agent: u8, attempt: u8, steps: &mut Vec<Step>) {
        let process = &self.agents[usize::from(agent)];
        match process.holds[slot(attempt)] {
            Hold::No => {
                if self.sees_place(attempt) && self.may_try_to_adopt(agent, attempt) {
                    steps.push(Step::Adopt(agent, attempt));
                }
                return;
            }
            Hold::Got if self.config.eager => steps.push(Step::Report(agent, attempt)),
            Hold::Scheduled if !process.slow => steps.push(Step::MakePlace(agent, attempt)),
            _ => {}
        }
        let hold = process.holds[slot(attempt)];
        if matches!(hold, Hold::Placed | Hold::Started) && self.place_is_dead(attempt) {
            steps.push(Step::NoticeEnd(agent, attempt));
        }
        if self.give_up_left && !self.has_ended() {
            match hold {
                Hold::Scheduled => {
                    steps.extend([Step::Unclaim(agent, attempt), Step::Refuse(agent, attempt)])
                }
                Hold::Started => steps.extend([Step::Unclaim(agent, attempt), Step::Fail(agent, attempt)]),
                _ => {}
            }
        }
    }

    /// An agent with nothing to do claims when there is something to get. The second one comes later: who is
    /// first means nothing.
    fn wants_to_claim(&self, agent: u8) -> bool {
        let process = &self.agents[usize::from(agent)];
        if process.open {
            return true;
        }
        if usize::from(process.nonce) + 1 >= NONCES
            || self.has_ended()
            || (agent == 1 && self.job.attempts.is_empty() && self.agents[0].alive)
        {
            return false;
        }
        let idle = process.holds.iter().all(|hold| *hold == Hold::No);
        let forgotten = self
            .job
            .open_attempt()
            .is_some_and(|attempt| attempt.holder.agent == agent_id(agent) && !attempt.called);
        (idle && (self.is_queued() || forgotten))
            || (self.config.eager && !process.eager_used && process.nonce > 0)
    }

    pub(super) fn claim(&mut self, agent: u8) {
        let process = &mut self.agents[usize::from(agent)];
        if !process.open {
            process.eager_used |= process.holds.iter().any(|hold| *hold != Hold::No);
            process.nonce += 1;
            process.open = true;
        }
        let holds = numbers()
            .filter(|attempt| process.holds[slot(*attempt)] != Hold::No)
            .fold(0, |mask, attempt| mask | (1 << attempt));
        let nonce = process.nonce;
        self.call_from_agent(agent, 0, Wire::Claim { nonce, holds });
    }

    pub(super) fn report(&mut self, agent: u8, attempt: u8) {
        let wire = match self.agents[usize::from(agent)].holds[slot(attempt)] {
            Hold::Got => Wire::Phase(Phase::Scheduling),
            Hold::Placed => Wire::Phase(Phase::Starting),
            Hold::Failing => Wire::Fail,
            Hold::Removed { refused } => Wire::Removed { refused },
            other => unreachable!("nothing to report of {other:?}"),
        };
        self.call_from_agent(agent, attempt, wire);
    }

    pub(super) fn give_up(&mut self, agent: u8, attempt: u8, step: Step) {
        self.give_up_left = false;
        match step {
            Step::Unclaim(..) => self.call_from_agent(agent, attempt, Wire::Unclaim),
            Step::Fail(..) => self.agents[usize::from(agent)].holds[slot(attempt)] = Hold::Failing,
            _ => {
                self.remove_place(attempt);
                self.agents[usize::from(agent)].holds[slot(attempt)] = Hold::Removed { refused: true };
            }
        }
    }

    fn call_from_agent(&mut self, agent: u8, attempt: u8, wire: Wire) {
        let process = &mut self.agents[usize::from(agent)];
        let from = Party::Agent {
            agent,
            incarnation: process.incarnation,
        };
        let message = Message { from, attempt, wire };
        process.waiting = Some(message);
        self.send(message);
    }

    pub(super) fn make_place(&mut self, agent: u8, attempt: u8) {
        self.agents[usize::from(agent)].holds[slot(attempt)] = Hold::Placed;
        // A place has one name: a create that is late finds it taken.
        self.ghost.late[slot(attempt)] = false;
        if !self.sees_place(attempt) {
            self.start_place(attempt, 1);
        }
    }

    pub(super) fn late_create(&mut self, attempt: u8) {
        self.ghost.late[slot(attempt)] = false;
        if !self.sees_place(attempt) {
            self.start_place(attempt, 1);
        }
    }

    /// Its place has ended: it removes what is left, so that nothing can start it again.
    pub(super) fn notice_end(&mut self, agent: u8, attempt: u8) {
        self.remove_place(attempt);
        self.agents[usize::from(agent)].holds[slot(attempt)] = Hold::Removed { refused: false };
    }

    /// Says that it is alive, and does as it is told. The call and its answer are one step: an answer that is
    /// late says nothing that has become untrue.
    pub(super) fn presence(&mut self, agent: u8) -> Result<(), Broken> {
        let holds = self.agents[usize::from(agent)].holds;
        for attempt in numbers().filter(|attempt| holds[slot(*attempt)] != Hold::No) {
            let (whose, cancel) = self.serve_presence(agent, attempt)?;
            let hold = holds[slot(attempt)];
            let next = match (whose, hold) {
                (Whose::Moved, _) => Hold::No,
                (Whose::Over, Hold::Removed { .. }) => continue,
                (Whose::Over, _) => {
                    self.remove_place(attempt);
                    Hold::Removed { refused: false }
                }
                (Whose::Yours, Hold::Got | Hold::Scheduled) if cancel => Hold::Failing,
                (Whose::Yours, _) => {
                    if cancel {
                        self.terminate(attempt);
                    }
                    continue;
                }
            };
            let process = &mut self.agents[usize::from(agent)];
            process.holds[slot(attempt)] = next;
            if process.waiting.is_some_and(|message| message.attempt == attempt) {
                process.waiting = None;
            }
        }
        Ok(())
    }

    /// Whether presence would tell an agent or the server anything. An eager agent calls anyway: then being
    /// listed matters.
    fn has_news(&self, agent: u8) -> bool {
        let process = &self.agents[usize::from(agent)];
        let held = || numbers().filter(|attempt| process.holds[slot(*attempt)] != Hold::No);
        if held().next().is_none() {
            return false;
        }
        let absent = self.known[usize::from(agent)]
            .as_ref()
            .is_some_and(|known| !known.is_present(NOW));
        absent
            || self.config.eager
            || held().any(|number| {
                let attempt = &self.job.attempts[slot(number)];
                !attempt.is_open() || attempt.cancelling.is_some() || attempt.holder != self.holder_of(agent)
            })
    }

    fn sees_place(&self, attempt: u8) -> bool {
        !self.ghost.removed[slot(attempt)] && self.places.iter().any(|place| place.attempt == attempt)
    }

    fn may_try_to_adopt(&self, agent: u8, attempt: u8) -> bool {
        let holder = usize::from(self.ghost.holder[slot(attempt)]);
        let absent = self.known[holder]
            .as_ref()
            .is_some_and(|keeper| !keeper.is_present(NOW));
        let foreign = self.config.other_reach && agent == 1;
        (absent && !foreign) || (self.config.eager && holder != usize::from(agent))
    }

    pub(super) fn ask_to_adopt(&mut self, agent: u8, attempt: u8) {
        let Holder {
            agent: id,
            incarnation,
        } = &self.job.attempts[slot(attempt)].holder;
        let keeper = u8::from(*id == agent_id(1));
        let incarnation = u8::try_from(*incarnation).unwrap();
        self.call_from_agent(
            agent,
            attempt,
            Wire::Adopt {
                agent: keeper,
                incarnation,
            },
        );
    }

    /// What an agent does with an answer.
    pub(super) fn agent_hears(&mut self, agent: u8, message: Message, reply: Reply) {
        let process = &mut self.agents[usize::from(agent)];
        process.waiting = None;
        let attempt = message.attempt;
        match (message.wire, reply) {
            (Wire::Claim { .. }, Reply::Claim(attempt)) => {
                process.open = false;
                let hold = &mut process.holds[slot(attempt)];
                if *hold == Hold::No {
                    *hold = Hold::Got;
                }
            }
            (Wire::Claim { .. }, _) => process.open = false,
            (Wire::Phase(_), Reply::Done) => process.advance(attempt),
            (Wire::Unclaim | Wire::Fail, Reply::Done) => self.notice_end(agent, attempt),
            (Wire::Unclaim, Reply::Exhausted) => process.holds[slot(attempt)] = Hold::Failing,
            (Wire::Removed { .. }, _) => process.holds[slot(attempt)] = Hold::No,
            (Wire::Adopt { .. }, Reply::Adopted) => process.holds[slot(attempt)] = Hold::Placed,
            (Wire::Adopt { .. }, Reply::Over) => self.remove_place(attempt),
            // Gone: presence will say whether it is over or another's.
            _ => {}
        }
    }

    pub(super) fn kill_agent(&mut self, agent: u8) {
        let process = &mut self.agents[usize::from(agent)];
        process.alive = false;
        process.waiting = None;
        for attempt in numbers() {
            process.holds[slot(attempt)] = match process.holds[slot(attempt)] {
                // It will report `starting` again.
                Hold::Placed | Hold::Started => Hold::Placed,
                // It will say `over`, or find no place.
                Hold::Failing if self.places.iter().any(|place| place.attempt == attempt) => Hold::Placed,
                Hold::Scheduled => {
                    self.ghost.late[slot(attempt)] = true;
                    process.open = true;
                    Hold::No
                }
                Hold::Got => {
                    process.open = true;
                    Hold::No
                }
                Hold::Failing | Hold::Removed { .. } | Hold::No => Hold::No,
            };
        }
    }

    pub(super) fn restart(&mut self, agent: u8, memory: Memory) {
        let process = &mut self.agents[usize::from(agent)];
        process.alive = true;
        process.incarnation += 1;
        process.open &= memory == Memory::Kept;
    }

    pub(super) fn copy_disk(&mut self, agent: u8) {
        let from = Party::Agent {
            agent,
            incarnation: 9,
        };
        self.send(Message {
            from,
            attempt: 0,
            wire: Wire::Copied,
        });
    }

    pub(super) fn holder_of(&self, agent: u8) -> Holder {
        holder(agent, self.agents[usize::from(agent)].incarnation)
    }

    fn place_is_dead(&self, attempt: u8) -> bool {
        let mut places = self
            .places
            .iter()
            .filter(|place| place.attempt == attempt)
            .peekable();
        places.peek().is_some() && places.all(|place| place.stage == Stage::Dead)
    }
}

impl AgentProcess {
    fn advance(&mut self, attempt: u8) {
        let hold = &mut self.holds[slot(attempt)];
        *hold = match *hold {
            Hold::Got => Hold::Scheduled,
            Hold::Placed => Hold::Started,
            other => other,
        };
    }
}
