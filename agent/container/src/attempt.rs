//! Sees one attempt through: its place is made, watched, stopped where the server says so, and removed; and
//! the server is told, in this order: the cause, while the place is still there; then that the place is
//! gone, which ends the window of an infrastructure failure.

use std::sync::Arc;
use std::time::Duration;

use api::{AttemptRef, Cause, Terms};
use driver::{DriverError, Exit, Order};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::ending;
use crate::error::chain;
use crate::holdings::{Stage, Wish};
use crate::report::{Answer, Reporter};
use crate::shared::{Shared, wished};
use crate::state::Record;

/// The first pause before something on this host is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where an attempt is when the agent takes it up.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// It was claimed just now.
    Start(Box<Order>),
    /// Its place is there.
    Resume,
    /// Its place is gone.
    Gone(Cause),
}

/// How the agent's part in an attempt ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing of it is left here, and the server was told.
    Settled,
    /// Another agent has it: nothing was touched.
    Moved,
}

/// How a place ended.
#[derive(Debug)]
enum Place {
    /// With this cause; none where there is nothing to tell.
    Ended(Option<Cause>),
    /// Another agent has it.
    Moved,
}

/// Sees one attempt through. Where the agent quits first, everything stays as it is: on disk and in its
/// place.
pub(crate) async fn see_through(
    shared: Arc<Shared>,
    record: Record,
    beginning: Beginning,
    wishes: watch::Receiver<Wish>,
) {
    let attempt = record.labels.attempt.clone();
    let reporter = shared.reporter(&record);
    let mut supervision = Supervision {
        shared: Arc::clone(&shared),
        attempt: attempt.clone(),
        terms: record.terms,
        reporter,
        wishes,
        phases: None,
    };
    let end = tokio::select! {
        biased;
        () = shared.quit.cancelled() => None,
        end = supervision.run(beginning) => Some(end),
    };
    if let Some(phases) = supervision.phases.take() {
        phases.abort();
    }
    match end {
        Some(end) => {
            shared.forget(&attempt).await;
            match end {
                End::Settled => tracing::info!(attempt = %attempt, "done: its place is gone"),
                End::Moved => tracing::info!(attempt = %attempt, "another agent has it"),
            }
        }
        None => tracing::info!(attempt = %attempt, "left as it is"),
    }
}

#[derive(Debug)]
struct Supervision {
    shared: Arc<Shared>,
    attempt: AttemptRef,
    terms: Terms,
    reporter: Reporter,
    wishes: watch::Receiver<Wish>,
    /// Reports phases while the place is made. It ends by itself, or is aborted at the end.
    phases: Option<JoinHandle<()>>,
}

impl Supervision {
    async fn run(&mut self, beginning: Beginning) -> End {
        let place = match beginning {
            Beginning::Start(order) => self.start(&order).await,
            Beginning::Resume => self.watch().await,
            Beginning::Gone(cause) => Place::Ended(Some(cause)),
        };
        match place {
            Place::Moved => End::Moved,
            Place::Ended(cause) => {
                self.shared.holdings.reached(&self.attempt, Stage::Ending);
                self.settle(cause).await
            }
        }
    }

    /// Makes the place and watches it.
    async fn start(&mut self, order: &Order) -> Place {
        let (progress, phases) = mpsc::unbounded_channel();
        self.phases = Some(self.shared.attempts.spawn(self.reporter.clone().phases(phases)));
        let driver = Arc::clone(self.shared.driver());
        let starting = driver.start(order, progress);
        tokio::pin!(starting);
        let started = tokio::select! {
            started = &mut starting => started,
            wish = wished(&mut self.wishes, Wish::Stop) => {
                if wish == Wish::Forget {
                    return Place::Moved;
                }
                // It is let come to its end, so that nothing is left half made; but not for ever: removing
                // a place must take what an agent left that died here.
                let slack = self.terms.slack.duration();
                let Ok(started) = tokio::time::timeout(slack, &mut starting).await else {
                    return Place::Ended(None);
                };
                started
            }
        };
        match started {
            Ok(()) => {
                self.shared.holdings.reached(&self.attempt, Stage::Running);
                self.watch().await
            }
            Err(error) => {
                tracing::warn!(attempt = %self.attempt, error = %chain(&error), "the place could not be started");
                Place::Ended(Some(why(error)))
            }
        }
    }

    /// Waits for the place's end, or for the server's wish to end it.
    async fn watch(&mut self) -> Place {
        let driver = Arc::clone(self.shared.driver());
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                biased;
                wish = wished(&mut self.wishes, Wish::Stop) => return self.stop(wish).await,
                exit = driver.wait(&self.attempt) => match exit {
                    Ok(exit) => return Place::Ended(self.read(&exit)),
                    Err(DriverError::Host { what, source }) => {
                        tracing::warn!(attempt = %self.attempt, what, error = %source, "could not watch a place; trying again");
                    }
                    Err(error) => {
                        tracing::warn!(attempt = %self.attempt, error = %chain(&error), "the place is lost");
                        return Place::Ended(Some(why(error)));
                    }
                },
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn read(&self, exit: &Exit) -> Option<Cause> {
        let cause = ending::cause(exit);
        match &cause {
            None => tracing::info!(attempt = %self.attempt, "the task ended"),
            Some(cause) => {
                tracing::warn!(
                    attempt = %self.attempt, code = ?exit.code, signal = ?exit.signal,
                    "the place ended without a terminal record: {}", cause.sentence()
                );
                for line in ending::last_lines(&exit.log_tail) {
                    tracing::warn!(attempt = %self.attempt, "its log's end: {line}");
                }
            }
        }
        cause
    }

    /// Ends what runs, as the server wishes. It knows why, so there is no cause to tell, unless the place
    /// ends by itself meanwhile.
    async fn stop(&mut self, wish: Wish) -> Place {
        let driver = Arc::clone(self.shared.driver());
        let grace = match wish {
            Wish::Forget => return Place::Moved,
            // Its steps have their grace, and its task agent the time to say how they ended.
            Wish::GoOn | Wish::Stop => self
                .terms
                .shutdown_delay
                .saturating_add(self.terms.grace)
                .saturating_add(self.terms.slack),
            // Mostly the place told the end itself, and is about to end: as a success, or by GOAT's fail,
            // whose window is open for what only its exit says.
            Wish::Over => {
                let patience = self.terms.window.duration() / 4;
                tokio::select! {
                    exit = driver.wait(&self.attempt) => if let Ok(exit) = exit {
                        return Place::Ended(self.read(&exit));
                    },
                    () = tokio::time::sleep(patience) => {}
                    _ = wished(&mut self.wishes, Wish::Forget) => return Place::Moved,
                }
                self.terms.grace
            }
        };
        tokio::select! {
            stopped = driver.stop(&self.attempt, grace.duration()) => {
                if let Err(error) = stopped {
                    // Removing it ends it too.
                    tracing::warn!(attempt = %self.attempt, error = %chain(&error), "could not stop a place");
                }
                Place::Ended(None)
            }
            _ = wished(&mut self.wishes, Wish::Forget) => Place::Moved,
        }
    }

    /// Tells the cause, removes the place, and tells that it is gone.
    async fn settle(&mut self, cause: Option<Cause>) -> End {
        // Phases come before what follows them, and an older incarnation's attempts only after the server
        // has met this one. The sender lives as long as the agent.
        if let Some(phases) = self.phases.take() {
            phases.await.ok();
        }
        self.shared
            .introduced
            .subscribe()
            .wait_for(|known| *known)
            .await
            .ok();

        if let Some(cause) = &cause
            && self.reporter.cause(cause).await == Answer::Gone
            && self.reporter.is_elsewhere().await
        {
            return End::Moved;
        }
        if *self.wishes.borrow() == Wish::Forget {
            return End::Moved;
        }
        if self.remove().await {
            self.reporter.place_removed(cause).await;
        }
        End::Settled
    }

    /// Removes the place; tries again for as long as reports are resent. False where something is left: the
    /// server is told of the failure, but not that the place is gone, and the sweep tries again.
    async fn remove(&self) -> bool {
        let deadline = tokio::time::Instant::now() + self.terms.resend.duration();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let Err(error) = self.shared.driver().remove(&self.attempt).await else {
                return true;
            };
            let error = chain(&error);
            tracing::error!(attempt = %self.attempt, error, "could not remove a place");
            if !told {
                told = true;
                self.reporter
                    .fail(&format!("the task's place could not be removed: {error}"))
                    .await;
            }
            if tokio::time::Instant::now() + pause >= deadline {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The cause in a driver's failure.
fn why(error: DriverError) -> Cause {
    match error {
        DriverError::Start { cause, .. } | DriverError::Lost { cause, .. } => cause,
        error => Cause::Start {
            message: chain(&error),
            certain: false,
        },
    }
}
