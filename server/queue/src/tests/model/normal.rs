//! Fewer states that mean the same.
//!
//! Whoever has something to say says it at once: how long a call is on its way is open anyway. What can make no
//! difference any more is forgotten: calls that are refused for ever (after they were tried), the names of
//! nonces, the history of attempts that nobody speaks of.

use api::{Cause, Phase};

use super::agent::{numbers, slot};
use super::operation::{Answer, Operation};
use super::server::holder;
use super::step::Broken;
use super::world::{ATTEMPTS, Hold, Message, NONCES, NOW, Party, Stage, Wire, World};
use crate::agent::{Agent, NonceAnswer};
use crate::attempt::{After, Attempt, Closed, Closer};
use crate::cause::is_vague;

impl World {
    /// Lets everybody speak, and forgets what is over.
    pub(super) fn normalise(&mut self) -> Result<(), Broken> {
        if self.has_ended() {
            self.bury();
        }
        self.forget_what_is_over();
        self.speak();
        self.drop_what_is_refused_for_ever()?;
        Ok(())
    }

    /// Nothing new begins after the job's end; what is on its way still arrives.
    fn bury(&mut self) {
        for process in &mut self.agents {
            process.alive = false;
            process.waiting = None;
            process.holds = [Hold::No; ATTEMPTS];
            process.open = false;
        }
        self.places.clear();
        self.faults = 0;
        self.cancel_left = false;
        self.give_up_left = false;
        self.ghost.late = [false; ATTEMPTS];
    }

    /// A place whose attempt is settled and that executes nothing could only be told so, and so could the agent
    /// that has it.
    fn forget_what_is_over(&mut self) {
        for attempt in 1..=self.last().unwrap_or(0) {
            let settled = self.job.attempts[slot(attempt)].after() == Some(&After::Settled);
            let executing = self
                .places
                .iter()
                .any(|place| place.attempt == attempt && place.executing);
            if !settled || executing {
                continue;
            }
            self.places.retain(|place| place.attempt != attempt);
            self.ghost.late[slot(attempt)] = false;
            for process in self
                .agents
                .iter_mut()
                .filter(|process| process.alive && !process.cut)
            {
                process.holds[slot(attempt)] = Hold::No;
                if process.waiting.is_some_and(|message| message.attempt == attempt) {
                    process.waiting = None;
                }
            }
        }
    }

    fn speak(&mut self) {
        let removed = self.ghost.removed;
        let eager = self.config.eager;
        self.places.retain(|place| !removed[slot(place.attempt)]);
        for index in 0..self.places.len() {
            let place = self.places[index];
            let speaks = !place.hung && !matches!(place.stage, Stage::Dead | Stage::Running);
            match place.waiting {
                Some(message) if !self.bag.contains(&message) => self.send(message),
                None if speaks => self.work(index),
                _ => {}
            }
        }
        for agent in 0..2 {
            let process = self.agents[usize::from(agent)];
            if !process.alive || process.cut {
                continue;
            }
            match process.waiting {
                Some(message) if !self.bag.contains(&message) => self.send(message),
                Some(_) => {}
                None => {
                    let report =
                        numbers().find(|attempt| process.holds[slot(*attempt)].must_be_reported(eager));
                    if let Some(attempt) = report {
                        self.report(agent, attempt);
                    }
                }
            }
        }
    }

    /// A call that nobody waits for, and that changes nothing now or later, is tried and dropped.
    fn drop_what_is_refused_for_ever(&mut self) -> Result<(), Broken> {
        let mut index = 0;
        while let Some(&message) = self.bag.get(index) {
            if self.waiting(message.from) != Some(message) && self.is_over_for(message) {
                let mut tried = self.clone();
                let reply = tried.serve(message);
                self.check_reply(&mut tried, message, reply)?;
                self.check_history(&tried)?;
                tried.check_end(self)?;
                if tried.job.id == self.job.id && tried.known.id == self.known.id {
                    self.bag.remove(index);
                    continue;
                }
            }
            index += 1;
        }
        Ok(())
    }

    fn is_over_for(&self, message: Message) -> bool {
        if let Party::Agent { agent, incarnation } = message.from
            && incarnation < self.ghost.heard[usize::from(agent)]
        {
            return true;
        }
        match (message.wire, message.from) {
            (Wire::Claim { nonce, .. }, Party::Agent { agent, .. }) => {
                let known = self.known[usize::from(agent)].as_ref();
                self.has_ended() || known.is_some_and(|known| u64::from(nonce) < known.nonce)
            }
            (Wire::Copied, _) => true,
            (Wire::Removed { .. }, _) => {
                self.job.attempts[slot(message.attempt)].after() == Some(&After::Settled)
            }
            _ => !self.job.attempts[slot(message.attempt)].is_open(),
        }
    }

    /// Forgets what can make no difference any more, once the check has seen it.
    pub(super) fn forget(&mut self) {
        let last = self.last().unwrap_or(0);
        let mut spoken_of = 0;
        for attempt in 1..=last {
            let at = slot(attempt);
            if attempt < last {
                self.ghost.listed[at] = false;
                self.ghost.completed[at] = false;
                self.ghost.stored[at] = false;
                self.ghost.began[at] = false;
            }
            let comes_again =
                |closer: Message| self.bag.contains(&closer) || self.waiting(closer.from) == Some(closer);
            self.ghost.closer[at] = self.ghost.closer[at].filter(|closer| comes_again(*closer));
            if self.is_spoken_of(attempt) {
                spoken_of |= 1 << attempt;
            } else if self.job.attempts[at].after() == Some(&After::Settled) {
                self.ghost.holder[at] = 9;
                self.ghost.bound[at] = 0;
                self.ghost.removed[at] = true;
            }
        }
        if !self.has_ended() {
            self.job.change(Operation::Forget { spoken_of }, |job| {
                job.attempts
                    .iter_mut()
                    .for_each(|attempt| forget(attempt, spoken_of));
                Answer::None
            });
        }
        self.rename_nonces(0);
        self.rename_nonces(1);
    }

    /// Whether anything still speaks of an attempt.
    pub(super) fn is_spoken_of(&self, attempt: u8) -> bool {
        self.bag.iter().any(|message| message.attempt == attempt)
            || self.places.iter().any(|place| place.attempt == attempt)
            || self
                .agents
                .iter()
                .any(|process| process.holds[slot(attempt)] != Hold::No)
            || self.ghost.late[slot(attempt)]
    }

    /// An agent's nonces count from 1 again when no lower one is on its way.
    fn rename_nonces(&mut self, agent: u8) {
        let process = &self.agents[usize::from(agent)];
        let current = process.nonce;
        let may_repeat = process.open
            || process
                .holds
                .iter()
                .any(|hold| matches!(hold, Hold::Got | Hold::Scheduled))
            || self.bag.iter().any(|message| match (message.from, message.wire) {
                (Party::Agent { agent: by, .. }, Wire::Claim { .. }) => by == agent,
                _ => false,
            });
        let answered = |known: &Agent| known.answer != NonceAnswer::Nothing;
        if !may_repeat && self.known[usize::from(agent)].as_ref().is_some_and(answered) {
            self.known.change(Operation::ForgetAnswer { agent }, |known| {
                if let Some(known) = &mut known[usize::from(agent)] {
                    known.answer = NonceAnswer::Nothing;
                }
                Answer::None
            });
        }
        if !may_repeat {
            self.ghost.answers[usize::from(agent)] = [0; NONCES];
        }
        let lower = self.bag.iter().any(|message| match (message.from, message.wire) {
            (Party::Agent { agent: by, .. }, Wire::Claim { nonce, .. }) => by == agent && nonce < current,
            _ => false,
        });
        if current < 2 || lower {
            return;
        }
        let by = current - 1;
        self.agents[usize::from(agent)].nonce = 1;
        self.known.change(Operation::RenameNonces { agent, by }, |known| {
            if let Some(known) = &mut known[usize::from(agent)] {
                known.nonce = known.nonce.saturating_sub(u64::from(by));
            }
            Answer::None
        });
        let answers = &mut self.ghost.answers[usize::from(agent)];
        answers.rotate_left(usize::from(by));
        answers[0] = 0;
        answers[2..].fill(0);
        let rename = |message: &mut Message| {
            if let (Party::Agent { agent: from, .. }, Wire::Claim { nonce, .. }) =
                (message.from, &mut message.wire)
                && from == agent
            {
                *nonce -= by;
            }
        };
        self.bag.iter_mut().for_each(rename);
        self.agents[usize::from(agent)]
            .waiting
            .iter_mut()
            .for_each(rename);
        self.bag.sort();
    }
}

/// Of a settled attempt that nobody speaks of only its cost matters, and of a cause only what it decides.
fn forget(attempt: &mut Attempt, spoken_of: u8) {
    if let Some(Closed { cause, .. }) = &mut attempt.closed {
        blunt(cause);
    }
    blunt(&mut attempt.told);
    if attempt.after() == Some(&After::Settled) && spoken_of & (1 << attempt.number) == 0 {
        attempt.phase = if attempt.costs() {
            Phase::Scheduling
        } else {
            Phase::Claimed
        };
        attempt.holder = holder(0, 1);
        attempt.listed = false;
        attempt.called = false;
        attempt.instance = None;
        attempt.started_at = None;
        attempt.began = false;
        attempt.lease_ends = NOW;
        attempt.told = None;
        attempt.place_gone = None;
        if let Some(closed) = &mut attempt.closed {
            closed.by = Closer::GivenBack;
        }
    }
}

fn blunt(cause: &mut Option<Cause>) {
    if cause.as_ref().is_some_and(is_vague) {
        *cause = Some(Cause::AgentLost);
    }
}

impl Hold {
    fn must_be_reported(self, eager: bool) -> bool {
        match self {
            Self::Got => !eager,
            Self::Placed | Self::Failing | Self::Removed { .. } => true,
            Self::No | Self::Scheduled | Self::Started => false,
        }
    }
}
