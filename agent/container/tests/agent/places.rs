//! A driver whose places are in memory. Places outlive the agents that use it, as real ones do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::goat::{TerminationKind, TerminationMessage};
use api::{AttemptRef, Cause, Phase, Reach};
use async_trait::async_trait;
use driver::{Driver, DriverError, Exit, Labels, Order, Place, Progress};
use tokio::sync::{mpsc, watch};

#[derive(Debug, Clone)]
struct Made {
    labels: Labels,
    exit: watch::Sender<Option<Exit>>,
}

/// What was asked of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Start(AttemptRef),
    Stop(AttemptRef, Duration),
    Remove(AttemptRef),
}

#[derive(Debug)]
pub(crate) struct Places {
    places: Mutex<BTreeMap<AttemptRef, Made>>,
    calls: Mutex<Vec<Call>>,
    pub(crate) start_fails: Mutex<Option<Cause>>,
    pub(crate) removes_fail: Mutex<u32>,
    changed: watch::Sender<()>,
}

impl Places {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Mutex::default(),
            calls: Mutex::default(),
            start_fails: Mutex::default(),
            removes_fail: Mutex::default(),
            changed: watch::Sender::new(()),
        })
    }

    /// Puts a place there that somebody else made.
    pub(crate) fn put(&self, labels: Labels) {
        let made = Made {
            labels: labels.clone(),
            exit: watch::Sender::new(None),
        };
        self.places.lock().unwrap().insert(labels.attempt, made);
    }

    /// GOAT ends by itself.
    pub(crate) fn end(&self, attempt: &AttemptRef, exit: Exit) {
        self.places
            .lock()
            .unwrap()
            .get(attempt)
            .unwrap()
            .exit
            .send_replace(Some(exit));
    }

    /// A place vanishes without anybody's order.
    pub(crate) fn vanish(&self, attempt: &AttemptRef) {
        self.places.lock().unwrap().remove(attempt);
    }

    pub(crate) fn has(&self, attempt: &AttemptRef) -> bool {
        self.places.lock().unwrap().contains_key(attempt)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until the places are as asked.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        let wait = async {
            while !holds(self) {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), wait).await.is_err() {
            panic!("waited in vain until {what}: {self:#?}");
        }
    }

    fn call(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
        self.changed.send_replace(());
    }
}

/// GOAT after a terminal record.
pub(crate) fn completed() -> Exit {
    let termination = TerminationMessage {
        kind: TerminationKind::Completed,
        message: String::new(),
        exit_code: Some(0),
        signal: None,
        interrupted_by: None,
        oom: false,
        reported: false,
        duration_ms: 1,
        max_rss_kib: 1,
    };
    Exit {
        code: Some(0),
        signal: None,
        termination: Some(termination),
        log_tail: String::new(),
    }
}

/// GOAT after a KILL to its task agent.
pub(crate) fn task_agent_killed() -> Exit {
    let mut exit = completed();
    if let Some(termination) = &mut exit.termination {
        termination.kind = TerminationKind::TaskAgentEnded;
        termination.exit_code = None;
        termination.signal = Some(9);
        termination.reported = true;
    }
    exit
}

/// GOAT after a KILL.
pub(crate) fn killed() -> Exit {
    Exit {
        code: None,
        signal: Some(9),
        termination: None,
        log_tail: String::new(),
    }
}

#[async_trait]
impl Driver for Places {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn reach(&self) -> Reach {
        Reach("memory".to_owned())
    }

    async fn start(
        &self,
        order: &Order,
        progress: mpsc::UnboundedSender<Progress>,
    ) -> Result<(), DriverError> {
        let attempt = order.labels.attempt.clone();
        progress
            .send(Progress {
                phase: Phase::Starting,
                detail: String::new(),
            })
            .unwrap();
        if let Some(cause) = self.start_fails.lock().unwrap().clone() {
            self.call(Call::Start(attempt.clone()));
            return Err(DriverError::Start { attempt, cause });
        }
        self.put(order.labels.clone());
        self.call(Call::Start(attempt));
        Ok(())
    }

    async fn wait(&self, attempt: &AttemptRef) -> Result<Exit, DriverError> {
        let made = self.places.lock().unwrap().get(attempt).cloned();
        let lost = || DriverError::Lost {
            attempt: attempt.clone(),
            cause: Cause::SupervisorLost { signal: None },
        };
        let mut exit = made.ok_or_else(lost)?.exit.subscribe();
        let exit = exit.wait_for(Option::is_some).await.map_err(|_| lost())?;
        exit.clone().ok_or_else(lost)
    }

    async fn stop(&self, attempt: &AttemptRef, grace: Duration) -> Result<(), DriverError> {
        if self.has(attempt) {
            self.end(attempt, killed());
        }
        self.call(Call::Stop(attempt.clone(), grace));
        Ok(())
    }

    async fn remove(&self, attempt: &AttemptRef) -> Result<(), DriverError> {
        {
            let mut fails = self.removes_fail.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                let source = std::io::Error::other("busy");
                return Err(DriverError::Host {
                    what: "could not remove it".to_owned(),
                    source,
                });
            }
        }
        self.vanish(attempt);
        self.call(Call::Remove(attempt.clone()));
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Place>, DriverError> {
        let places = self.places.lock().unwrap();
        Ok(places
            .values()
            .map(|made| Place {
                labels: made.labels.clone(),
                running: made.exit.borrow().is_none(),
            })
            .collect())
    }
}
