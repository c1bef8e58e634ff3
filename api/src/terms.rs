//! Terms: every duration that a client lives by. They are the server's settings, sent with the claim and
//! with the task, so that no constant is compiled into a client. An attempt keeps the terms it was given.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// As a standard duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// A duration, rounded down; the largest value where it does not fit.
    #[must_use]
    pub fn from_duration(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// `self + other`, at most the largest value.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `percent` hundredths of it, rounded down.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self(self.0 / 100 * percent + self.0 % 100 * percent / 100)
    }
}

/// The durations of one attempt, and of the agent that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// How long an agent counts as alive after its last call. Decides adoption and sweeping only.
    pub presence: Millis,
    /// The task lease before the first `run` operation began.
    pub lease_before: Millis,
    /// The task lease after it.
    pub lease_after: Millis,
    /// The longest that one long poll may wait; clients ask for at most a third of what it renews.
    pub long_poll: Millis,
    /// How long an infrastructure failure waits for a better cause.
    pub window: Millis,
    /// What steps get between TERM and KILL when a task is stopped.
    pub grace: Millis,
    /// How long GOAT waits before the grace begins.
    pub shutdown_delay: Millis,
    /// What the server adds to the grace before it closes an attempt by itself, and a driver before KILL.
    pub slack: Millis,
    /// Patience with `scheduling`.
    pub scheduling: Millis,
    /// Patience with `pulling`.
    pub pulling: Millis,
    /// How long a task agent with its steps over, and an agent with a report, go on resending.
    pub resend: Millis,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            presence: Millis::seconds(60),
            lease_before: Millis::seconds(60),
            lease_after: Millis::seconds(300),
            long_poll: Millis::seconds(20),
            window: Millis::seconds(10),
            grace: Millis::seconds(10),
            shutdown_delay: Millis(0),
            slack: Millis::seconds(15),
            scheduling: Millis::seconds(300),
            pulling: Millis::seconds(900),
            resend: Millis::seconds(3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_long_poll_fits_a_third_of_each_lease() {
        let terms = Terms::default();

        for lease in [terms.presence, terms.lease_before, terms.lease_after] {
            assert!(terms.long_poll.0 <= lease.0 / 3);
        }
    }
}
