//! Calls the store when a deadline passes.

use std::time::Duration;

use store::Store;
use tokio_util::sync::CancellationToken;

use crate::complaint::Complaint;

/// The longest between two looks, in case the machine slept.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest: many changes at once are looked at together.
const SHORTEST: Duration = Duration::from_millis(20);
/// The wait after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Applies deadlines until it is told to stop.
pub(crate) async fn run(store: Store, stopping: CancellationToken) {
    let mut changes = store.changes();
    let mut complaint = Complaint::default();
    loop {
        changes.borrow_and_update();
        let applied = store.tick().await;
        if applied.is_ok() && complaint.over() {
            tracing::info!("deadlines are applied again");
        }
        let wait = match applied {
            Ok(Some(next)) => Duration::from_millis(next.0.saturating_sub(store.now().0)),
            Ok(None) => LONGEST,
            Err(error) => {
                if let Some(error) = complaint.news(&error) {
                    tracing::error!(
                        error,
                        "deadlines could not be applied; trying again until they can"
                    );
                }
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
