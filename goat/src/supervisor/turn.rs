//! One turn of the loop: signals in, children collected.

use std::time::Duration;

use sys::process::{self, Origin, Reaped, Received, Signal, Waited};
use tokio::time::{Instant, sleep_until};

use super::Supervisor;
use crate::failure::end_words;

/// How long a turn lasts at most, so that `/live` can tell a loop that is stuck.
const TICK: Duration = Duration::from_secs(2);

/// This process was asked to end.
#[derive(Debug, Clone)]
pub(super) struct Interruption {
    /// Until when the task agent may end by itself.
    pub(super) deadline: Instant,
    /// What arrived, and from whom, for people.
    pub(super) by: String,
}

impl Supervisor {
    /// Waits for a signal, but not beyond `until`, and then deals with every signal and every ended child.
    /// Cancel-safe: what it waits for is taken only after the wait.
    pub(super) async fn turn(&mut self, until: Option<Instant>) {
        self.figures.turned();
        let tick = Instant::now() + TICK;
        tokio::select! {
            guard = self.signals.readable() => {
                if let Ok(mut guard) = guard {
                    guard.clear_ready();
                }
            }
            () = sleep_until(until.map_or(tick, |until| until.min(tick))) => {}
        }
        self.take_signals();
        self.collect();
    }

    /// Deals with the signals that are there.
    pub(super) fn take_signals(&mut self) {
        loop {
            match self.signals.get_ref().take() {
                Ok(Some(received)) => self.handle(received),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "a signal could not be taken");
                    return;
                }
            }
        }
    }

    fn handle(&mut self, received: Received) {
        match received.signal {
            // Children are collected in every turn anyway.
            Signal::SIGCHLD => {}
            Signal::SIGTERM | Signal::SIGINT => self.interrupt(received),
            signal => self.children.forward(signal),
        }
    }

    /// Acts once, however often it comes: whoever stops a container repeats it.
    fn interrupt(&mut self, received: Received) {
        if self.interruption.is_some() {
            return;
        }
        let by = format!("{} from {}", received.signal, origin_words(received.origin));
        self.children.forward(received.signal);
        if self.task.notify_task_agent {
            self.children.notify_agent();
        }
        tracing::info!("interrupted by {by}");
        let deadline = Instant::now() + self.settings.shutdown_delay + self.settings.grace_period;
        self.interruption = Some(Interruption { deadline, by });
    }

    /// Collects every child that has ended. `false` when there is no child left at all.
    pub(super) fn collect(&mut self) -> bool {
        loop {
            match process::wait_any() {
                Ok(Waited::Child(reaped)) => self.collected(reaped),
                Ok(Waited::NoneEnded) => return true,
                Ok(Waited::NoChildren) => return false,
                Err(error) => {
                    tracing::error!(%error, "children cannot be collected");
                    return true;
                }
            }
        }
    }

    fn collected(&mut self, reaped: Reaped) {
        let mut orphan = false;
        if self.children.is_agent(reaped.pid) {
            self.figures.set_running(false);
            tracing::info!(how = %end_words(reaped.end), "the task agent has ended");
            self.children.agent_ended(reaped);
        } else if self.children.is_entrypoint(reaped.pid) {
            tracing::info!(how = %end_words(reaped.end), "the custom entrypoint has ended");
            self.children.entrypoint_ended();
        } else {
            orphan = true;
        }
        self.figures.collected(&reaped.usage, orphan);
    }
}

/// As far as it can be told: the sender may have ended, and outside of a PID namespace of one's own, "the task"
/// is what descends from this process.
fn origin_words(origin: Origin) -> String {
    let (pid, uid, inside) = match origin {
        Origin::Kernel => return "the kernel".to_owned(),
        Origin::Outside => return "outside the container".to_owned(),
        Origin::Unnamed => return "a process that does not say which".to_owned(),
        Origin::Process { pid, uid } => (pid, uid, process::is_init()),
    };
    let sender = match process::command_name(pid) {
        // A process gives itself any name.
        Some(name) => format!("{pid} {} (uid {uid})", name.escape_debug()),
        None => format!("{pid} (ended, uid {uid})"),
    };
    if inside {
        return format!("process {sender} of the task");
    }
    match process::descendants(process::own_pid()) {
        Ok(below) if below.contains(&pid) => "a process of the task".to_owned(),
        _ => format!("another process {sender}"),
    }
}
