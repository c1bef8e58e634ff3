//! Pauses between tries.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);

/// How long it is waited for room on the server's disk: time for somebody to make some.
pub(crate) const FULL_SERVER: Duration = Duration::from_secs(600);

/// Pauses that double up to a longest one.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            next: FIRST.min(longest),
            longest,
        }
    }

    /// Starts again with the first pause.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }

    /// Waits, and doubles the next pause. A part is left to chance, so that many task agents do not come back
    /// at once.
    pub(crate) async fn pause(&mut self) {
        let chance = sys::process::boot_time_now().subsec_nanos() % 1000;
        let pause = self.next / 2 + self.next * chance / 2000;
        self.next = (self.next * 2).min(self.longest);
        tokio::time::sleep(pause).await;
    }
}
