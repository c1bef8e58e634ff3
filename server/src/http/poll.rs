//! Long polls: a call that waits for news asks again after each change.

use std::future::Future;

use api::Millis;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::answer::Answer;

/// Asks until the answer is news, the wait is over or the server stops; gives the last answer.
///
/// Dropping the future ends the wait: whoever hung up waits for nothing any more.
pub(super) async fn until_news<T, F>(
    shared: &Shared,
    wait: Millis,
    mut ask: impl FnMut() -> F,
    is_news: impl Fn(&T) -> bool,
) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    let end = Instant::now() + wait.min(shared.longest_poll).duration();
    let mut changes = shared.store.changes();
    loop {
        // Marked before it is asked, so that a change while it answers counts as one after it.
        changes.borrow_and_update();
        let answer = ask().await?;
        if is_news(&answer) {
            return Ok(answer);
        }
        tokio::select! {
            () = sleep_until(end) => return Ok(answer),
            () = shared.stopping.cancelled() => return Ok(answer),
            changed = changes.changed() => if changed.is_err() { return Ok(answer) },
        }
    }
}
