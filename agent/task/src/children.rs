//! All processes below this one: starting them, collecting them, ending them.
//!
//! This process is a child subreaper, so whatever a step leaves behind comes back to it, however often it
//! forked. One owner waits for all children; a child is forked and entered into the table in the same turn, so
//! that its end cannot be taken for an orphan's.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sys::process::{
    End, Pid, Reaped, Signal, SpawnError, SpawnRequest, Waited, descendants, kill_group, kill_process,
    pidfd_open, pidfd_send_signal, process_limit, spawn, wait_any,
};
use sys::secrecy::OomScore;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::lock;

/// How many children are collected before others get a turn.
const TURN: usize = 64;
/// How many processes and threads are left to this process when its children have used up theirs: without them
/// it could neither start the steps that always run nor send artifacts.
const RESERVED: u64 = 64;
/// How often what has not died yet is killed again.
const AGAIN: Duration = Duration::from_millis(20);

/// The children. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Children(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<HashMap<i32, oneshot::Sender<End>>>,
    collected: Notify,
    oom_score: Option<OomScore>,
    /// How many processes the children's user may have: some fewer than this process may.
    process_limit: Option<u64>,
}

/// A child that somebody waits for.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its number, and that of its session and group.
    pub(crate) pid: Pid,
    end: oneshot::Receiver<End>,
    ended: Option<End>,
}

impl Child {
    /// Waits for its end. Can be called again.
    pub(crate) async fn ended(&mut self) -> End {
        if let Some(end) = self.ended {
            return end;
        }
        match (&mut self.end).await {
            Ok(end) => {
                self.ended = Some(end);
                end
            }
            // The table keeps the other side until the end is known.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Children {
    /// Takes charge: from now on orphans come here.
    pub(crate) fn new(oom_score: Option<OomScore>) -> io::Result<Self> {
        sys::process::set_subreaper()?;
        Ok(Self(Arc::new(Shared {
            table: Mutex::new(HashMap::new()),
            collected: Notify::new(),
            oom_score,
            process_limit: process_limit().and_then(|limit| limit.checked_sub(RESERVED)),
        })))
    }

    /// Starts a child, 100 more willing to be taken by the kernel's OOM killer than this process is, and with
    /// a limit on processes that leaves some for this one.
    pub(crate) fn spawn<'score>(
        &'score self,
        mut request: SpawnRequest<'score>,
    ) -> Result<Child, SpawnError> {
        request.oom_score = self.0.oom_score.as_ref();
        request.process_limit = self.0.process_limit;
        let mut table = lock(&self.0.table);
        let spawned = spawn(request)?;
        let (sender, end) = oneshot::channel();
        table.insert(spawned.pid.as_raw(), sender);
        Ok(Child {
            pid: spawned.pid,
            end,
            ended: None,
        })
    }

    /// Collects whoever has ended, whenever SIGCHLD says so.
    pub(crate) async fn collect(self, mut child_ended: tokio::signal::unix::Signal) {
        loop {
            if self.collect_some() == Left::More {
                tokio::task::yield_now().await;
            } else {
                child_ended.recv().await;
            }
        }
    }

    fn collect_some(&self) -> Left {
        for _ in 0..TURN {
            match wait_any() {
                Ok(Waited::Child(reaped)) => self.deliver(reaped),
                Ok(Waited::NoneEnded) => return Left::Running,
                Ok(Waited::NoChildren) => return Left::None,
                Err(error) => {
                    tracing::error!(%error, "could not wait for children");
                    return Left::Running;
                }
            }
        }
        Left::More
    }

    fn deliver(&self, reaped: Reaped) {
        if let Some(sender) = lock(&self.0.table).remove(&reaped.pid.as_raw()) {
            // Nobody waits any more for a child that was killed with its step.
            let _ = sender.send(reaped.end);
        }
        self.0.collected.notify_waiters();
    }

    /// Signals a child's group and everything below it, unless the child is collected already.
    pub(crate) fn signal_below(&self, child: &Child, signal: Signal) {
        if lock(&self.0.table).contains_key(&child.pid.as_raw()) {
            report("group", kill_group(child.pid, signal).map(drop));
            self.signal_descendants(child.pid, signal);
        }
    }

    /// Signals everything below this process.
    pub(crate) fn signal_all(&self, signal: Signal) {
        self.signal_descendants(own_pid(), signal);
    }

    /// A number that was recycled since the snapshot must not be hit. So a handle is opened first, and used
    /// only if a second snapshot still has the number below the ancestor: whoever has it then is ours.
    fn signal_descendants(&self, ancestor: Pid, signal: Signal) {
        let handles: Vec<_> = match descendants(ancestor) {
            Ok(found) => found.into_iter().map(|pid| (pid, pidfd_open(pid))).collect(),
            Err(error) => {
                tracing::error!(%error, "cannot list processes");
                self.signal_groups(signal);
                return;
            }
        };
        if handles.is_empty() {
            return;
        }
        let still: HashSet<Pid> = descendants(ancestor).unwrap_or_default().into_iter().collect();
        for (pid, handle) in handles.into_iter().filter(|(pid, _)| still.contains(pid)) {
            let sent = match handle {
                Ok(handle) => {
                    use std::os::fd::AsFd as _;
                    pidfd_send_signal(handle.as_fd(), signal).map(drop)
                }
                // The kernel or a seccomp profile has no handles.
                Err(_) => kill_process(pid, signal).map(drop),
            };
            report("process", sent);
        }
    }

    /// What can be done without `/proc`: each known child's group.
    fn signal_groups(&self, signal: Signal) {
        for pid in lock(&self.0.table).keys() {
            report("group", kill_group(Pid::from_raw(*pid), signal).map(drop));
        }
    }

    /// Waits until there is no process below this one, at most until `deadline`. Answers whether there is none.
    pub(crate) async fn none_left(&self, deadline: Instant) -> bool {
        loop {
            let collected = self.0.collected.notified();
            if self.collect_some() == Left::None {
                return true;
            }
            if tokio::time::timeout_at(deadline, collected).await.is_err() {
                return false;
            }
        }
    }

    /// Kills everything below this process and collects it, at most until `deadline`. Answers whether nothing
    /// is left.
    pub(crate) async fn kill_all(&self, deadline: Instant) -> bool {
        loop {
            if self.collect_some() == Left::None {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            // Again and again: what forked meanwhile is not in the snapshot.
            self.signal_all(Signal::SIGKILL);
            let next = (Instant::now() + AGAIN).min(deadline);
            let _ = self.none_left(next).await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    More,
    Running,
    None,
}

fn own_pid() -> Pid {
    Pid::this()
}

fn report(what: &str, sent: io::Result<()>) {
    if let Err(error) = sent {
        tracing::warn!(%error, what, "could not send a signal");
    }
}
