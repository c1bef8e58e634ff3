//! What is killed, and when: all of it is decided by the seed alone.

use std::fmt;
use std::time::Duration;

use crate::dice::{About, Dice};

/// Who is killed, with `kill -9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The server; it is started again.
    Server,
    /// The server, and once more while it starts.
    StartingServer,
    /// The server, for longer than a task agent waits.
    ServerForLong,
    /// An agent; it is started again.
    Agent,
    /// An agent, for good; a new one takes its place.
    AgentForGood,
    /// The server and all agents at once.
    Everything,
    /// The sandbox around a GOAT.
    Sandbox,
    /// A GOAT.
    Goat,
    /// A task agent.
    TaskAgent,
    /// A process below a task agent.
    Step,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Server => "server",
            Self::StartingServer => "server, twice",
            Self::ServerForLong => "server, for long",
            Self::Agent => "agent",
            Self::AgentForGood => "agent, for good",
            Self::Everything => "server and agents",
            Self::Sandbox => "sandbox",
            Self::Goat => "GOAT",
            Self::TaskAgent => "task agent",
            Self::Step => "step",
        })
    }
}

const WEIGHTS: [(u64, Target); 10] = [
    (14, Target::Server),
    (4, Target::StartingServer),
    (1, Target::ServerForLong),
    (16, Target::Agent),
    (4, Target::AgentForGood),
    (3, Target::Everything),
    (14, Target::Sandbox),
    (14, Target::Goat),
    (16, Target::TaskAgent),
    (14, Target::Step),
];

/// How many decisions, about a minute's, a round has.
const ROUND: u64 = 180;
/// How many of them, at its beginning, leave the server alone. Each start gives every lease its whole term again, so
/// that none would ever end under a server that never stays up for as long as one: these take about 20 s, twice a
/// lease in this installation.
const SERVER_STAYS: u64 = 60;

/// One kill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    /// The pause before it.
    pub(crate) pause: Duration,
    /// Who.
    pub(crate) target: Target,
    /// Which, among those that are there then.
    pub(crate) pick: u64,
    /// How long it stays down.
    pub(crate) down: Duration,
}

impl Decision {
    /// Decision `number` of a seed.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(seed, About::Kills, number);
        let pause = Duration::from_millis(dice.between(30, 650));
        let target = match dice.weighted(&WEIGHTS) {
            Target::Server | Target::StartingServer | Target::ServerForLong | Target::Everything
                if number % ROUND < SERVER_STAYS =>
            {
                Target::TaskAgent
            }
            target => target,
        };
        let down = match target {
            // Longer than a lease after *began* in this installation.
            Target::ServerForLong => dice.between(11_000, 13_000),
            Target::StartingServer => dice.between(0, 60),
            _ => dice.between(0, 1500),
        };
        Self {
            pause,
            target,
            pick: dice.roll(),
            down: Duration::from_millis(down),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_lease_can_end_in_each_round_because_the_server_stays_up() {
        let calm: Duration = (0..SERVER_STAYS)
            .map(|number| Decision::new(7, 3 * ROUND + number))
            .map(|decision| {
                let name = decision.target.to_string();
                assert!(!name.starts_with("server"), "{name}");
                decision.pause
            })
            .sum();

        assert!(calm > Duration::from_secs(15), "{calm:?}");
    }

    #[test]
    fn every_kind_of_process_is_killed_within_a_few_hundred_decisions() {
        let targets: BTreeSet<_> = (0..400).map(|number| Decision::new(1, number).target).collect();

        assert_eq!(targets.len(), WEIGHTS.len(), "{targets:?}");
    }
}
