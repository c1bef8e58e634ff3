//! The task lease, as this side counts it.
//!
//! It runs from the *sending* of the last call that renewed it, because the server cannot have counted from an
//! earlier moment, and in `CLOCK_BOOTTIME`, because a suspended machine's lease runs on.

use std::time::Duration;

use api::Terms;

/// After this share of the lease the steps are asked to end...
const ASK: u32 = 90;
/// ... and after this share they are killed at the latest.
const KILL: u32 = 95;

/// The lease. All times are boot times.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    before: Duration,
    after: Duration,
    began: bool,
    renewed: Duration,
}

/// What is lost when the lease is nearly over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    /// How long ago the last answered call was sent.
    pub(crate) silence: Duration,
    /// How long the steps may take to end by themselves.
    pub(crate) patience: Duration,
}

impl Lease {
    /// A lease that the fetching of the task, sent at `sent`, started.
    pub(crate) fn new(terms: &Terms, sent: Duration) -> Self {
        Self {
            before: terms.lease_before.duration(),
            after: terms.lease_after.duration(),
            began: false,
            renewed: sent,
        }
    }

    /// A call that renews it, sent at `sent`, was answered.
    pub(crate) fn renew(&mut self, sent: Duration) {
        self.renewed = self.renewed.max(sent);
    }

    /// The *began* of the first `run` operation, sent at `sent`, was acknowledged: the longer lease holds.
    pub(crate) fn begin(&mut self, sent: Duration) {
        self.began = true;
        self.renew(sent);
    }

    /// Its length now.
    pub(crate) fn length(&self) -> Duration {
        if self.began { self.after } else { self.before }
    }

    /// How long it is until the steps must be stopped; zero when they must be now.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        (self.renewed + self.length() * ASK / 100).saturating_sub(now)
    }

    /// What is lost, if the time has come.
    pub(crate) fn lost(&self, now: Duration) -> Option<Lost> {
        self.left(now).is_zero().then(|| Lost {
            silence: now.saturating_sub(self.renewed),
            patience: (self.renewed + self.length() * KILL / 100).saturating_sub(now),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Millis;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lease() -> Lease {
        let terms = Terms {
            lease_before: Millis::seconds(60),
            lease_after: Millis::seconds(300),
            ..Terms::default()
        };
        Lease::new(&terms, s(1000))
    }

    #[test]
    fn it_counts_from_the_sending_and_ends_at_nine_tenths() {
        let mut lease = lease();
        lease.renew(s(1020));

        assert_eq!(lease.left(s(1030)), s(44));
        assert_eq!(lease.lost(s(1073)), None);
        assert_eq!(
            lease.lost(s(1074)),
            Some(Lost {
                silence: s(54),
                patience: s(3)
            })
        );
    }

    #[test]
    fn the_longer_lease_holds_once_a_run_operation_began() {
        let mut lease = lease();
        lease.begin(s(1030));

        assert_eq!(lease.left(s(1030)), s(270));
    }

    #[test]
    fn an_older_call_that_is_answered_late_does_not_shorten_it() {
        let mut lease = lease();
        lease.renew(s(1020));
        lease.renew(s(1010));

        assert_eq!(lease.left(s(1020)), s(54));
    }

    #[test]
    fn after_a_suspended_hour_there_is_no_patience_left() {
        let lost = lease().lost(s(1000 + 3600)).expect("it is long over");

        assert_eq!(lost.patience, Duration::ZERO);
        assert_eq!(lost.silence, s(3600));
    }
}
