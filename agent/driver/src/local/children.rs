//! The sandboxes that this process started. Everything else is in a place's folder, but how a process ended only
//! its parent is told.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use api::AttemptRef;
use tokio::process::Child;

use super::MOMENT;

/// How long the end of a process that is known to be ending may take.
const ENDING: Duration = Duration::from_secs(2);

/// The sandboxes by their attempts, until their places are removed.
#[derive(Debug, Default)]
pub(super) struct Children(Mutex<BTreeMap<AttemptRef, Child>>);

impl Children {
    pub(super) fn keep(&self, attempt: AttemptRef, sandbox: Child) {
        self.all().insert(attempt, sandbox);
    }

    /// The place is gone. A sandbox that has not been waited for is waited for by the runtime.
    pub(super) fn forget(&self, attempt: &AttemptRef) {
        self.all().remove(attempt);
    }

    /// The signal that ended a sandbox, once nothing but its end is to come; none where no signal did, or another
    /// process started it.
    pub(super) async fn killed_by(&self, attempt: &AttemptRef) -> Option<i32> {
        let until = Instant::now() + ENDING;
        loop {
            // It lets go of its place's lock a moment before its parent is told of its end.
            let ended = self.all().get_mut(attempt)?.try_wait().ok()?;
            match ended {
                Some(status) => return status.signal(),
                None if Instant::now() > until => return None,
                None => tokio::time::sleep(MOMENT).await,
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<AttemptRef, Child>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}
