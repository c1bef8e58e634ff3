//! How fast calls may follow each other, and how long to wait after one that failed.

use std::time::Duration;

use tokio::time::Instant;

/// GitHub takes 80 calls a minute that make something, and asks for a second between them. A burst of this
/// many lets a push show all its jobs at once; with one more each second it stays within both.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(1);

/// The pace of one account's calls.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all calls so far would be over, were each to take [`INTERVAL`].
    booked: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { booked: now }
    }

    /// When the next call may be made.
    pub(super) fn ready(&self) -> Instant {
        self.booked
            .checked_sub(INTERVAL * (BURST - 1))
            .unwrap_or(self.booked)
    }

    /// A call is made.
    pub(super) fn took(&mut self, now: Instant) {
        self.booked = self.booked.max(now) + INTERVAL;
    }
}

/// A wait that doubles with each failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// How often it failed since it last succeeded.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// It failed: how long to wait now.
    pub(super) fn failed(&mut self) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.failures.min(30)));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.longest)
    }

    /// It succeeded.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_calls_keep_their_distance() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert!(pace.ready() <= start);
            pace.took(start);
        }

        assert_eq!(pace.ready(), start + INTERVAL);
        let minute = start + Duration::from_secs(60);
        assert!(pace.ready() <= minute);
        let mut now = start;
        let mut calls = BURST;
        while pace.ready() < minute {
            now = now.max(pace.ready());
            pace.took(now);
            calls += 1;
        }
        assert!(calls <= 80, "{calls} calls in a minute");
    }

    #[test]
    fn a_wait_doubles_up_to_the_longest_and_begins_again_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);

        let waits: Vec<_> = (0..5).map(|_| backoff.failed().as_secs()).collect();

        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.succeeded();
        assert_eq!(backoff.failed(), second);
    }
}
