//! Says that the agent is alive and what it holds, and carries the server's orders to the attempts.

use std::sync::Arc;
use std::time::Duration;

use api::Millis;
use api::runner::presence::{Held, PresenceRequest, PresenceResponse, Whose};
use client::{ClientError, Effort};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::AgentError;
use crate::holdings::Wish;
use crate::shared::Shared;

/// The first pause after a call that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Speaks to the server for the first time: the older incarnation ends, what it held is this one's, and the
/// terms are known. Waits for a server that is not there yet; `Ok(false)` where a stop came first.
pub(crate) async fn introduce(shared: &Arc<Shared>) -> Result<bool, AgentError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = tokio::select! {
            asked = ask(shared, shared.holdings.listed(), Millis(0)) => asked,
            () = shared.stopping.cancelled() => return Ok(false),
        };
        match asked {
            Ok(answer) => {
                follow(shared, answer);
                shared.introduced.send_replace(true);
                return Ok(true);
            }
            Err(error) if error.is_gone() => return Err(replaced(shared)),
            Err(error) if !error.may_pass() => return Err(AgentError::Refused(error)),
            Err(error) => {
                tracing::warn!(server.url = shared.config.server_url, error = %error.chain(), "the server does not answer; trying again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.stopping.cancelled() => return Ok(false),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Says so again and again until the agent quits.
pub(crate) async fn keep_up(shared: Arc<Shared>) -> Result<(), AgentError> {
    let mut holdings = shared.holdings.changes();
    let mut drain = shared.drain.subscribe();
    let mut pause = FIRST_PAUSE;
    loop {
        holdings.mark_unchanged();
        drain.mark_unchanged();
        let wait = shared.long_poll(shared.terms().presence);
        let sent = Instant::now();
        let listed = shared.holdings.listed();
        let asked = tokio::select! {
            biased;
            () = shared.quit.cancelled() => return Ok(()),
            asked = ask(&shared, listed.clone(), wait) => asked,
            // Something is held that the call under way does not list: its cancel would come late.
            () = more(&shared, &listed, &mut holdings) => continue,
            () = changed(&mut drain) => continue,
        };
        let rest = match asked {
            Ok(answer) => {
                pause = FIRST_PAUSE;
                let news = follow(&shared, answer);
                // A server that answers at once without news must not be asked in a tight loop.
                if news || sent.elapsed() >= wait.duration() / 2 {
                    Duration::ZERO
                } else {
                    wait.duration() / 10
                }
            }
            Err(error) if error.is_gone() => return Err(replaced(&shared)),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the server did not take the agent's presence; trying again");
                let longer = (pause * 2).min(LONGEST_PAUSE);
                std::mem::replace(&mut pause, longer)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = shared.quit.cancelled() => return Ok(()),
        }
    }
}

/// Returns once something is held that is not in `listed`.
async fn more(shared: &Shared, listed: &[Held], holdings: &mut watch::Receiver<()>) {
    loop {
        changed(holdings).await;
        let now = shared.holdings.listed();
        if now.iter().any(|held| !listed.contains(held)) {
            return;
        }
    }
}

async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        // The sender lives as long as the agent.
        std::future::pending::<()>().await;
    }
}

async fn ask(shared: &Arc<Shared>, holds: Vec<Held>, wait: Millis) -> Result<PresenceResponse, ClientError> {
    let request = PresenceRequest {
        holder: shared.holder().clone(),
        reach: shared.driver().reach(),
        holds,
        draining: shared.stopping.is_cancelled() || *shared.drain.borrow(),
        wait,
    };
    shared
        .client
        .presence(&request, Effort::Once(Shared::patience(wait)))
        .await
}

/// Does what the answer says; whether anything in it was news.
fn follow(shared: &Arc<Shared>, answer: PresenceResponse) -> bool {
    let mut news = false;
    for standing in answer.attempts {
        let wish = match (standing.whose, &standing.cancel) {
            (Whose::Yours, None) => Wish::GoOn,
            (Whose::Yours, Some(_)) => Wish::Stop,
            (Whose::Moved, _) => Wish::Forget,
            (Whose::Over, _) => Wish::Over,
        };
        if shared.holdings.wish(&standing.attempt, wish) {
            news = true;
            let by = standing.cancel.as_ref().map_or("", |cancel| cancel.by.as_str());
            tracing::info!(attempt = %standing.attempt, wish = ?wish, cancel.by = by, "the server's order for an attempt");
        }
    }
    shared.terms.send_if_modified(|terms| {
        let differs = *terms != answer.terms;
        *terms = answer.terms;
        differs
    });
    shared.drain.send_if_modified(|drain| {
        let differs = *drain != answer.drain;
        if differs {
            tracing::info!(drain = answer.drain, "the server's order for new tasks");
        }
        news |= differs;
        *drain = answer.drain;
        differs
    });
    news
}

fn replaced(shared: &Shared) -> AgentError {
    AgentError::Replaced {
        agent: shared.holder().agent.clone(),
    }
}
