//! The state of the small world.

use std::hash::{Hash, Hasher};

use api::{Millis, Outcome, Phase, Terms};

use super::memory::{List, Remembered};
use super::operation::{Answer, Operation};
use crate::job::{Job, JobDefaults, JobState};
use crate::{Agent, Time, settle};

/// The one moment at which everything happens; what is due later is let happen by name.
pub(super) const NOW: Time = Time(1_000_000);
/// More attempts than any history can reach.
pub(super) const ATTEMPTS: usize = 6;
/// More nonces than an agent needs.
pub(super) const NONCES: usize = 6;

/// What a world may do.
#[derive(Debug)]
pub(super) struct Config {
    /// Whether the job has `retry: infra`.
    pub(super) retry_infra: bool,
    /// How many faults there may be.
    pub(super) faults: u8,
    /// Whether the only faults are that somebody dies or hangs.
    pub(super) deaths_only: bool,
    /// Whether an agent claims while it holds something, and tries to adopt from an agent that is present.
    pub(super) eager: bool,
    /// Whether the second agent's driver sees another cluster.
    pub(super) other_reach: bool,
    /// Whether somebody may cancel.
    pub(super) cancel: bool,
    /// Whether an agent may give an attempt up.
    pub(super) give_up: bool,
}

impl Config {
    pub(super) const PLAIN: Self = Self {
        retry_infra: false,
        faults: 0,
        deaths_only: false,
        eager: false,
        other_reach: false,
        cancel: false,
        give_up: false,
    };
}

/// A sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Party {
    /// A process of a container agent.
    Agent { agent: u8, incarnation: u8 },
    /// A start of GOAT.
    Place { attempt: u8, instance: u8 },
}

/// A call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Message {
    pub(super) from: Party,
    /// The attempt; 0 for a claim.
    pub(super) attempt: u8,
    pub(super) wire: Wire,
}

/// What a call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wire {
    Claim {
        nonce: u8,
        holds: u8,
    },
    /// A claim of a copy of the agent's disk elsewhere.
    Copied,
    Phase(Phase),
    Unclaim,
    Fail,
    Removed {
        refused: bool,
    },
    Adopt {
        agent: u8,
        incarnation: u8,
    },
    Fetch,
    Began,
    Output,
    Finish(Outcome),
}

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reply {
    Done,
    Claim(u8),
    Nothing,
    Adopted,
    Refused,
    Over,
    Gone,
    Cancelling,
    Exhausted,
    Missing,
}

/// What an agent has of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    No,
    /// The claim.
    Got,
    /// It has reported `scheduling`.
    Scheduled,
    /// It has made the place.
    Placed,
    /// It has reported `starting`, or adopted the place.
    Started,
    /// It will fail it.
    Failing,
    /// The place is removed, and it will say so.
    Removed {
        refused: bool,
    },
}

/// A container agent's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AgentProcess {
    pub(super) alive: bool,
    /// Cut off from the server.
    pub(super) cut: bool,
    /// Its driver makes no place.
    pub(super) slow: bool,
    pub(super) incarnation: u8,
    pub(super) nonce: u8,
    pub(super) open: bool,
    /// It has claimed once more although it holds something.
    pub(super) eager_used: bool,
    pub(super) holds: [Hold; ATTEMPTS],
    pub(super) waiting: Option<Message>,
}

/// How far a start of a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// GOAT is up.
    Up,
    /// The task agent has its task.
    Bound,
    /// The `run` operation's *began* was acknowledged.
    Running,
    /// The steps are over; this is its record.
    Ending(Outcome),
    /// The task agent is gone, and GOAT unclaims.
    GoatUnclaims,
    /// The task agent is gone, and GOAT fails it.
    GoatFails,
    /// Nothing is left.
    Dead,
}

/// One start of the place of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) attempt: u8,
    pub(super) instance: u8,
    pub(super) stage: Stage,
    /// Whether a `run` operation may execute now.
    pub(super) executing: bool,
    /// It has heard nothing for so long that it has killed its steps.
    pub(super) lapsed: bool,
    /// It does nothing any more but heartbeats.
    pub(super) hung: bool,
    pub(super) cancel_seen: bool,
    pub(super) waiting: Option<Message>,
}

/// What the check knows and nobody in the world does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ghost {
    /// The job was cancelled before it ended.
    pub(super) cancelled: bool,
    /// Who holds each attempt; 9 for nobody.
    pub(super) holder: [u8; ATTEMPTS],
    /// Which start each attempt is bound to; 0 for none.
    pub(super) bound: [u8; ATTEMPTS],
    /// Whether its holder ever listed it.
    pub(super) listed: [bool; ATTEMPTS],
    /// Whether a `run` operation of it began.
    pub(super) began: [bool; ATTEMPTS],
    /// Whether its steps ran to a good end.
    pub(super) completed: [bool; ATTEMPTS],
    /// Whether its output is stored.
    pub(super) stored: [bool; ATTEMPTS],
    /// Whether its place is removed for good.
    pub(super) removed: [bool; ATTEMPTS],
    /// Whether a create that was under way when its agent died may still complete.
    pub(super) late: [bool; ATTEMPTS],
    /// The call that closed it.
    pub(super) closer: [Option<Message>; ATTEMPTS],
    /// The newest incarnation that the server has heard.
    pub(super) heard: [u8; 2],
    /// What each nonce got first; 0 for nothing yet, 99 for 204.
    pub(super) answers: [[u8; NONCES]; 2],
    /// A cause that lets nothing run again was told in time.
    pub(super) certain: bool,
}

/// The small world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) config: &'static Config,
    pub(super) job: Remembered<Job, Operation, Answer>,
    pub(super) known: Remembered<[Option<Agent>; 2], Operation, Answer>,
    pub(super) agents: [AgentProcess; 2],
    pub(super) places: List<Place, 8>,
    /// Calls on their way, sorted: their order means nothing.
    pub(super) bag: List<Message, 20>,
    pub(super) faults: u8,
    pub(super) cancel_left: bool,
    pub(super) give_up_left: bool,
    pub(super) ghost: Ghost,
}

impl World {
    pub(super) fn new(config: &'static Config) -> Self {
        let planned = super::server::planned(config.retry_infra);
        let defaults = JobDefaults {
            resource_class: "c".to_owned(),
            time_limit: Millis::seconds(3600),
        };
        let mut jobs = [Job::planned(api::TaskId::new("t").unwrap(), &planned, &defaults)];
        settle(&mut jobs, NOW);
        let [job] = jobs;
        let agent = AgentProcess {
            alive: true,
            cut: false,
            slow: false,
            incarnation: 1,
            nonce: 0,
            open: false,
            eager_used: false,
            holds: [Hold::No; ATTEMPTS],
            waiting: None,
        };
        Self {
            config,
            job: Remembered::new(job),
            known: Remembered::new([None, None]),
            agents: [agent; 2],
            places: List::new(),
            bag: List::new(),
            faults: config.faults,
            cancel_left: config.cancel,
            give_up_left: config.give_up,
            ghost: Ghost {
                cancelled: false,
                holder: [9; ATTEMPTS],
                bound: [0; ATTEMPTS],
                listed: [false; ATTEMPTS],
                began: [false; ATTEMPTS],
                completed: [false; ATTEMPTS],
                stored: [false; ATTEMPTS],
                removed: [false; ATTEMPTS],
                late: [false; ATTEMPTS],
                closer: [None; ATTEMPTS],
                heard: [0; 2],
                answers: [[0; NONCES]; 2],
                certain: false,
            },
        }
    }

    pub(super) fn send(&mut self, message: Message) {
        self.bag.insert_sorted(message, |other| *other < message);
    }

    pub(super) fn is_queued(&self) -> bool {
        matches!(self.job.state, JobState::Queued { .. })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.job.ended().is_some()
    }

    /// Whether nothing more is owed: the job ended, or waits in the queue and no agent is left.
    pub(super) fn is_good_end(&self) -> bool {
        self.has_ended() || (self.is_queued() && self.agents.iter().all(|agent| !agent.alive))
    }

    pub(super) fn last(&self) -> Option<u8> {
        self.job
            .attempts
            .last()
            .map(|attempt| u8::try_from(attempt.number).unwrap())
    }

    /// The worlds that behave alike from here on have one key.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        if let Some(ended) = self.job.ended()
            && self.bag.is_empty()
        {
            ended.outcome.hash(&mut hasher);
            return hasher.finish();
        }
        (self.job.id, self.known.id, &self.agents, &self.places, &self.bag).hash(&mut hasher);
        (self.faults, self.cancel_left, self.give_up_left, &self.ghost).hash(&mut hasher);
        hasher.finish()
    }
}

/// The defaults: of all durations the world uses only which of them is over.
pub(super) fn terms() -> Terms {
    Terms::default()
}
