//! What can happen next.

use super::world::{Message, Party, World};
use crate::deadline::Due;

/// A promise that a history broke.
pub(super) type Broken = &'static str;

/// What becomes of a call that is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// A fault: it arrives, and the answer does not.
    AnswerLost,
    /// A fault: it arrives now, and once more later.
    Doubled,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Deliver(Message, Delivery),
    Claim(u8),
    /// An eager agent is slow to report.
    Report(u8, u8),
    MakePlace(u8, u8),
    /// A create that was under way when its agent died completes.
    LateCreate(u8),
    NoticeEnd(u8, u8),
    Presence(u8),
    Adopt(u8, u8),
    Unclaim(u8, u8),
    Fail(u8, u8),
    Refuse(u8, u8),
    Work(usize),
    Heartbeat(usize),
    PresenceEnds(u8),
    /// The lease of an attempt that is closed already, and whose job waits for that.
    OldLeaseEnds,
    Expire(Due),
    Heal(u8),
    // Nobody may count on these.
    Restart(u8, Memory),
    Cancel,
    KillAgent(u8),
    CutOff(u8),
    Slow(u8),
    KillPlace(usize),
    KillTaskAgent(usize),
    Lapse(usize),
    Hang(usize),
    SecondStart(u8),
    CopyDisk(u8),
}

/// What an agent that starts again knows of a claim that it had made no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// Its nonce is open, and it repeats it.
    Kept,
    /// Nothing.
    Lost,
}

impl Step {
    /// Whether it is sure to happen in time if it can.
    pub(super) fn is_fair(self) -> bool {
        match self {
            Self::Deliver(_, Delivery::Whole)
            | Self::Claim(_)
            | Self::Report(..)
            | Self::MakePlace(..)
            | Self::NoticeEnd(..)
            | Self::Presence(_)
            | Self::Adopt(..)
            | Self::Work(_)
            | Self::Heartbeat(_)
            | Self::PresenceEnds(_)
            | Self::OldLeaseEnds
            | Self::Expire(_)
            | Self::Heal(_) => true,
            Self::Deliver(..) => false,
            Self::LateCreate(_)
            | Self::Unclaim(..)
            | Self::Fail(..)
            | Self::Refuse(..)
            | Self::Restart(..)
            | Self::Cancel
            | Self::KillAgent(_)
            | Self::CutOff(_)
            | Self::Slow(_)
            | Self::KillPlace(_)
            | Self::KillTaskAgent(_)
            | Self::Lapse(_)
            | Self::Hang(_)
            | Self::SecondStart(_)
            | Self::CopyDisk(_) => false,
        }
    }
}

impl Step {
    const fn is_order(self) -> bool {
        matches!(
            self,
            Self::Cancel
                | Self::Unclaim(..)
                | Self::Fail(..)
                | Self::Refuse(..)
                | Self::Restart(..)
                | Self::LateCreate(_)
        )
    }

    const fn is_death(self) -> bool {
        matches!(
            self,
            Self::KillAgent(_) | Self::KillPlace(_) | Self::KillTaskAgent(_) | Self::Hang(_)
        )
    }
}

impl World {
    /// All that can happen now. Nothing more is asked of a job that has ended, but what is on its way still
    /// arrives.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(24);
        if self.has_ended() && self.bag.is_empty() {
            return steps;
        }
        for (index, &message) in self.bag.iter().enumerate() {
            if index > 0 && self.bag[index - 1] == message {
                continue;
            }
            steps.push(Step::Deliver(message, Delivery::Whole));
            if self.faults > 0 {
                if self.waiting(message.from) == Some(message) {
                    steps.push(Step::Deliver(message, Delivery::AnswerLost));
                }
                steps.push(Step::Deliver(message, Delivery::Doubled));
            }
        }
        for agent in 0..2 {
            self.agent_steps(agent, &mut steps);
        }
        for place in 0..self.places.len() {
            self.place_steps(place, &mut steps);
        }
        self.due_steps(&mut steps);
        if self.cancel_left {
            steps.push(Step::Cancel);
        }
        if self.config.deaths_only {
            steps.retain(|step| step.is_fair() || step.is_order() || step.is_death());
        }
        steps
    }

    /// The world after a step.
    pub(super) fn after(&self, step: Step) -> Result<Self, Broken> {
        let mut next = self.clone();
        next.happen(step, self)?;
        next.normalise()?;
        self.check(&next, step)?;
        next.forget();
        Ok(next)
    }

    fn happen(&mut self, step: Step, before: &Self) -> Result<(), Broken> {
        match step {
            Step::Deliver(message, delivery) => return self.deliver(message, delivery, before),
            Step::Claim(agent) => self.claim(agent),
            Step::Report(agent, attempt) => self.report(agent, attempt),
            Step::MakePlace(agent, attempt) => self.make_place(agent, attempt),
            Step::LateCreate(attempt) => self.late_create(attempt),
            Step::NoticeEnd(agent, attempt) => self.notice_end(agent, attempt),
            Step::Presence(agent) => return self.presence(agent),
            Step::Adopt(agent, attempt) => self.ask_to_adopt(agent, attempt),
            Step::Unclaim(agent, attempt) => self.give_up(agent, attempt, step),
            Step::Fail(agent, attempt) => self.give_up(agent, attempt, step),
            Step::Refuse(agent, attempt) => self.give_up(agent, attempt, step),
            Step::Work(place) => self.work(place),
            Step::Heartbeat(place) => return self.heartbeat(place, before),
            Step::PresenceEnds(agent) => self.presence_ends(agent),
            Step::OldLeaseEnds => self.old_lease_ends(),
            Step::Expire(due) => self.expire(due),
            Step::Heal(agent) => self.agents[usize::from(agent)].cut = false,
            Step::Restart(agent, memory) => self.restart(agent, memory),
            Step::Cancel => self.cancel(),
            fault => self.fault(fault),
        }
        Ok(())
    }

    fn fault(&mut self, fault: Step) {
        self.faults -= 1;
        match fault {
            Step::KillAgent(agent) => self.kill_agent(agent),
            Step::CutOff(agent) => self.agents[usize::from(agent)].cut = true,
            Step::Slow(agent) => self.agents[usize::from(agent)].slow = true,
            Step::KillPlace(place) => self.places[place].end(),
            Step::KillTaskAgent(place) => self.places[place].lose_task_agent(),
            Step::Lapse(place) => self.places[place].lapse(),
            Step::Hang(place) => self.hang(place),
            Step::SecondStart(attempt) => self.start_place(attempt, 2),
            Step::CopyDisk(agent) => self.copy_disk(agent),
            other => unreachable!("{other:?} is no fault"),
        }
    }

    /// What a sender waits for.
    pub(super) fn waiting(&self, party: Party) -> Option<Message> {
        match party {
            Party::Agent { agent, incarnation } => {
                let agent = &self.agents[usize::from(agent)];
                agent
                    .waiting
                    .filter(|_| agent.alive && agent.incarnation == incarnation)
            }
            Party::Place { attempt, instance } => self
                .places
                .iter()
                .find(|place| place.attempt == attempt && place.instance == instance)
                .and_then(|place| place.waiting),
        }
    }
}
