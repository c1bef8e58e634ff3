//! Calls the store when a deadline passes.

use std::time::Duration;

use store::Store;
use tokio_util::sync::CancellationToken;

/// The longest between two looks, in case the machine slept.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest: many changes at once are looked at together.
const SHORTEST: Duration = Duration::from_millis(20);
/// The wait after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Applies deadlines until it is told to stop.
pub(crate) async fn run(store: Store, stopping: CancellationToken) {
    let mut changes = store.changes();
    loop {
        changes.borrow_and_update();
        let wait = match store.tick().await {
            Ok(Some(next)) => Duration::from_millis(next.0.saturating_sub(store.now().0)),
            Ok(None) => LONGEST,
            Err(error) => {
                tracing::error!(
                    error = crate::http::chain(&error),
                    "deadlines could not be applied"
                );
                AFTER_FAILURE
            }
        };
        let wait = tokio::time::sleep(wait.clamp(SHORTEST, LONGEST));
        tokio::select! {
            () = stopping.cancelled() => return,
            () = wait => {}
            changed = changes.changed() => {
                // The writer ended: nothing will ever change again, and the server is told elsewhere.
                if changed.is_err() {
                    return;
                }
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(SHORTEST) => {}
                }
            }
        }
    }
}
