//! The promises.

use api::{Cause, Outcome};

use super::agent::slot;
use super::step::{Broken, Step};
use super::world::{Hold, Message, Party, Reply, Stage, Wire, World};
use crate::ATTEMPTS_BY_INFRASTRUCTURE;
use crate::attempt::{After, Attempt, Closer};
use crate::deadline::Due;
use crate::job::JobState;

impl World {
    /// What must be true of every step, and of every state.
    pub(super) fn check(&self, next: &Self, step: Step) -> Result<(), Broken> {
        let executing = next.places.iter().filter(|place| place.executing).count();
        if executing > 1 {
            return Err("two places may both execute a run operation");
        }
        self.check_history(next)?;
        next.check_end(self)?;
        next.check_blame(self, step)?;
        let queued_again = next.is_queued() && !self.is_queued();
        if queued_again && next.ghost.cancelled {
            return Err("a cancelled job was queued again");
        }
        if queued_again && next.ghost.certain {
            return Err("a job was queued again although it certainly cannot run");
        }
        let began = next.last().is_some_and(|last| next.ghost.began[slot(last)]);
        if queued_again && began && !next.config.retry_infra {
            return Err("steps that began were queued again without retry: infra");
        }
        let costly = next.job.attempts.iter().filter(|attempt| attempt.costs()).count();
        if costly > ATTEMPTS_BY_INFRASTRUCTURE {
            return Err("infrastructure took more attempts than it may");
        }
        Ok(())
    }

    pub(super) fn check_history(&self, next: &Self) -> Result<(), Broken> {
        if let (Some(before), after) = (self.job.ended(), next.job.ended())
            && after.map(|after| after.outcome) != Some(before.outcome)
        {
            return Err("a job's outcome changed");
        }
        for (before, after) in self.job.attempts.iter().zip(&next.job.attempts) {
            if after.phase < before.phase {
                return Err("a phase went backwards");
            }
            let outcome = |attempt: &Attempt| attempt.closed.as_ref().map(|closed| closed.outcome);
            if before.closed.is_some() && outcome(before) != outcome(after) {
                return Err("an attempt's outcome changed");
            }
        }
        let open = next
            .job
            .attempts
            .iter()
            .filter(|attempt| attempt.is_open())
            .count();
        let last_is_open = next.job.open_attempt().is_some();
        if open > usize::from(last_is_open) {
            return Err("an attempt before the last is open");
        }
        if last_is_open && next.job.state != JobState::Running {
            return Err("an attempt is open although its job does not run");
        }
        Ok(())
    }

    pub(super) fn check_end(&self, before: &Self) -> Result<(), Broken> {
        let Some(ended) = self.job.ended() else {
            return Ok(());
        };
        if self.ghost.cancelled && ended.outcome != Outcome::Cancelled {
            return Err("a job ended otherwise after it was cancelled");
        }
        if before.has_ended() {
            return Ok(());
        }
        let last = self.last().map(slot);
        if ended.outcome == Outcome::Succeeded {
            let last = last.ok_or("green without an attempt")?;
            let record = matches!(
                self.job.attempts[last].closed.as_ref().map(|closed| &closed.by),
                Some(Closer::Finish { record, .. }) if record.outcome == Outcome::Succeeded
            );
            if !record || !self.ghost.completed[last] {
                return Err("green without a terminal record");
            }
            if !self.ghost.stored[last] {
                return Err("green, and output before the record is not stored");
            }
        }
        if ended.outcome == Outcome::InfraFailed
            && let Some(last) = last
        {
            let costly = self.job.attempts.iter().filter(|attempt| attempt.costs()).count();
            let begun = self.ghost.began[last] && !self.config.retry_infra;
            if costly < ATTEMPTS_BY_INFRASTRUCTURE && !begun && !self.ghost.certain {
                return Err("infrastructure failed a job that had attempts left");
            }
        }
        Ok(())
    }

    /// Whoever is blamed did it.
    fn check_blame(&self, before: &Self, step: Step) -> Result<(), Broken> {
        let Step::Expire(due) = step else { return Ok(()) };
        let Some(attempt) = before.job.open_attempt() else {
            return Ok(());
        };
        let number = u8::try_from(attempt.number).unwrap();
        let closed = self.job.attempts[slot(number)].closed.as_ref();
        let cause = closed.and_then(|closed| closed.cause.as_ref());
        let bound_lives = before.places.iter().any(|place| {
            place.attempt == number
                && place.instance == before.ghost.bound[slot(number)]
                && place.stage != Stage::Dead
                && !place.lapsed
        });
        if due == Due::Lease && bound_lives {
            return Err("a lease ended under a task agent that lives");
        }
        if due == Due::Lease && attempt.cancelling.is_none() {
            let task_agent = matches!(cause, Some(Cause::TaskAgentLost { .. }));
            if task_agent != (before.ghost.bound[slot(number)] != 0) {
                return Err("the wrong one was blamed for the end of a lease");
            }
        }
        Ok(())
    }

    /// What must be true of a call and its answer. `self` is the world before it.
    pub(super) fn check_reply(&self, next: &mut Self, message: Message, reply: Reply) -> Result<(), Broken> {
        match message.wire {
            Wire::Copied => {
                return if reply == Reply::Refused {
                    Ok(())
                } else {
                    Err("a copied disk was let in from elsewhere")
                };
            }
            Wire::Claim { nonce, .. } => return self.check_claim(next, message, nonce, reply),
            _ => {}
        }
        let attempt = message.attempt;
        let before = &self.job.attempts[slot(attempt)];
        let first_answer = self.ghost.closer[slot(attempt)] == Some(message);
        if first_answer && self.is_newest(message.from) && reply != Reply::Done {
            return Err("a repeat of the call that closed an attempt got another answer");
        }
        match message.wire {
            Wire::Fetch | Wire::Began | Wire::Finish(_) | Wire::Phase(_) | Wire::Unclaim | Wire::Fail
                if !before.is_open() && !first_answer && reply != Reply::Gone =>
            {
                return Err("a closed attempt took a call");
            }
            Wire::Began if reply == Reply::Done && self.ghost.cancelled => {
                return Err("a step began after the cancel");
            }
            Wire::Began if reply == Reply::Done => next.ghost.began[slot(attempt)] = true,
            Wire::Unclaim if reply == Reply::Done && before.is_open() && !self.ghost.cancelled => {
                let costly = self.job.attempts.iter().filter(|attempt| attempt.costs()).count();
                let begun = self.ghost.began[slot(attempt)] && !self.config.retry_infra;
                if begun || costly >= ATTEMPTS_BY_INFRASTRUCTURE {
                    return Err("an unclaim was taken that could lead to no other attempt");
                }
            }
            Wire::Adopt { agent, incarnation } if reply == Reply::Adopted => {
                self.check_adoption(message, agent, incarnation)?;
            }
            _ => {}
        }
        let in_time = matches!(before.after(), None | Some(After::Window { .. }));
        next.ghost.certain |=
            message.wire == Wire::Removed { refused: true } && reply == Reply::Done && in_time;
        let after = &next.job.attempts[slot(attempt)];
        if before.is_open() && !after.is_open() {
            if !self.has_a_say(message) {
                return Err("somebody with no say ended a healthy attempt");
            }
            next.ghost.closer[slot(attempt)] = Some(message);
        }
        if message.wire == Wire::Fetch && reply == Reply::Done {
            return bind(&mut next.ghost.bound[slot(attempt)], message.from);
        }
        Ok(())
    }

    fn check_claim(&self, next: &mut Self, message: Message, nonce: u8, reply: Reply) -> Result<(), Broken> {
        let Party::Agent { agent, .. } = message.from else {
            return Err("only agents claim");
        };
        let answers = &mut next.ghost.answers[usize::from(agent)];
        let answer = match reply {
            Reply::Claim(attempt) => attempt,
            Reply::Nothing => 99,
            _ => 0,
        };
        if answer != 0 {
            if !self.is_newest(message.from) {
                return Err("a process that was replaced got a claim");
            }
            if answers[usize::from(nonce) + 1..].iter().any(|later| *later != 0) {
                return Err("a nonce that its agent has left behind got an answer");
            }
            let first = &mut answers[usize::from(nonce)];
            if *first == 0 {
                *first = answer;
            } else if *first != answer {
                return Err("a repeated nonce got another answer");
            }
        }
        for (before, after) in self.job.attempts.iter().zip(&next.job.attempts) {
            if before.is_open() && !after.is_open() {
                let number = u8::try_from(after.number).unwrap();
                let held = self
                    .agents
                    .iter()
                    .any(|process| process.alive && process.holds[slot(number)] != Hold::No);
                let placed =
                    self.places.iter().any(|place| place.attempt == number) || self.ghost.late[slot(number)];
                if held || placed {
                    return Err("a claim that had arrived was given back");
                }
            }
        }
        let fresh = answer != 0 && self.ghost.answers[usize::from(agent)][usize::from(nonce)] == 0;
        let forgotten = |attempt: &Attempt| {
            let number = u8::try_from(attempt.number).unwrap();
            let another_answer = reply != Reply::Claim(number);
            self.ghost.holder[slot(number)] == agent
                && another_answer
                && !self.ghost.listed[slot(number)]
                && !next.ghost.listed[slot(number)]
                && !attempt.costs()
        };
        if fresh && next.job.open_attempt().is_some_and(forgotten) {
            return Err("a claim that never arrived was not given back");
        }
        Ok(())
    }

    fn check_adoption(&self, message: Message, agent: u8, incarnation: u8) -> Result<(), Broken> {
        let Party::Agent { agent: by, .. } = message.from else {
            return Err("only agents adopt");
        };
        let attempt = &self.job.attempts[slot(message.attempt)];
        let keeper = self.ghost.holder[slot(message.attempt)];
        if keeper == by {
            return Ok(());
        }
        let present = self.known[usize::from(keeper)]
            .as_ref()
            .is_some_and(|known| known.is_present(super::world::NOW));
        if present {
            return Err("an attempt was adopted from an agent that is present");
        }
        if keeper != agent || attempt.holder.incarnation != u64::from(incarnation) {
            return Err("an attempt was adopted from somebody who does not hold it");
        }
        if attempt.reach != self.config.reach(by) {
            return Err("an attempt was adopted into another reach");
        }
        Ok(())
    }

    /// Whether a sender may end an attempt: its holder's newest process, or the start that it is bound to.
    fn has_a_say(&self, message: Message) -> bool {
        match message.from {
            Party::Agent { agent, .. } => {
                self.ghost.holder[slot(message.attempt)] == agent && self.is_newest(message.from)
            }
            Party::Place { instance, .. } => {
                let bound = self.ghost.bound[slot(message.attempt)];
                bound == 0 || bound == instance
            }
        }
    }

    fn is_newest(&self, party: Party) -> bool {
        match party {
            Party::Agent { agent, incarnation } => incarnation >= self.ghost.heard[usize::from(agent)],
            Party::Place { .. } => true,
        }
    }
}

fn bind(bound: &mut u8, from: Party) -> Result<(), Broken> {
    let Party::Place { instance, .. } = from else {
        return Err("only task agents fetch");
    };
    if *bound != 0 && *bound != instance {
        return Err("two starts of one place got the task");
    }
    *bound = instance;
    Ok(())
}
