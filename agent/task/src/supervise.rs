//! Watching one child until it ends or has to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sys::process::{End, Signal};
use tokio::time::Instant;

use crate::children::{Child, Children};
use crate::control::{Control, Raised, Stop};
use crate::decide::patience;
use crate::output::Heard;

/// How a watched child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// By itself.
    Ended(End),
    /// It wrote nothing for too long, and was ended.
    Silent(Option<End>),
    /// The task was stopped, and the child with it. None: it is not collected yet.
    Stopped(Option<End>),
}

/// A limit on silence.
#[derive(Debug)]
pub(crate) struct Silence {
    /// Who listens.
    pub(crate) heard: Arc<Heard>,
    /// The limit.
    pub(crate) limit: Duration,
}

/// Who watches.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    pub(crate) children: Children,
    pub(crate) control: Control,
    /// Between TERM and KILL.
    grace: Duration,
    /// Whether everything has had its TERM: a process that cleans up is not told twice.
    told: Arc<AtomicBool>,
}

impl Supervisor {
    pub(crate) fn new(children: Children, control: Control, grace: Duration) -> Self {
        Self {
            children,
            control,
            grace,
            told: Arc::default(),
        }
    }

    fn tell_all_once(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.children.signal_all(Signal::SIGTERM);
        }
    }

    /// Waits for a child's end, or brings it about.
    pub(crate) async fn watch(&self, child: &mut Child, silence: Option<Silence>) -> Watched {
        let silent = async {
            match &silence {
                Some(silence) => silence.heard.silence(silence.limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            end = child.ended() => return Watched::Ended(end),
            raised = self.control.stopped() => {
                return Watched::Stopped(self.stop(child, &raised).await);
            }
            () = silent => {}
        }
        tracing::info!(pid = child.pid.as_raw(), "a step wrote nothing for too long");
        self.children.signal_below(child, Signal::SIGTERM);
        if self.ended_by(child, Instant::now() + self.grace).await.is_none() {
            self.children.signal_below(child, Signal::SIGKILL);
        }
        let end = tokio::select! {
            end = child.ended() => Some(end),
            raised = self.control.stopped() => self.stop(child, &raised).await,
        };
        Watched::Silent(end)
    }

    /// TERM to everything of the task, then KILL to the child.
    async fn stop(&self, child: &mut Child, raised: &Raised) -> Option<End> {
        if raised.stop != Stop::Gone {
            self.tell_all_once();
            let deadline = raised.at + patience(&raised.stop, self.grace);
            if let Some(end) = self.ended_by(child, deadline).await {
                return Some(end);
            }
        }
        self.children.signal_below(child, Signal::SIGKILL);
        // KILL is quick, except for a process that the kernel holds; that one is not waited for here.
        self.ended_by(child, Instant::now() + Duration::from_secs(2))
            .await
    }

    async fn ended_by(&self, child: &mut Child, deadline: Instant) -> Option<End> {
        tokio::select! {
            biased;
            end = child.ended() => Some(end),
            () = self.control.gone() => None,
            () = tokio::time::sleep_until(deadline) => None,
        }
    }

    /// Ends whatever the steps left behind. After a stop it gets TERM, and what is left of its time; else the
    /// job is over and it is killed. Answers whether nothing is left.
    pub(crate) async fn end_leftovers(&self, longest: Duration) -> bool {
        if let Some(raised) = self.control.current().filter(|raised| raised.stop != Stop::Gone) {
            self.tell_all_once();
            let deadline = raised.at + patience(&raised.stop, self.grace);
            tokio::select! {
                _ = self.children.none_left(deadline) => {}
                () = self.control.gone() => {}
            }
        }
        self.children.kill_all(Instant::now() + longest).await
    }
}
