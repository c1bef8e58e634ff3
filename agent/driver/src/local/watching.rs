//! Seeing how a place's processes end, and ending them.
//!
//! Whoever waits here is woken by the kernel, through a pidfd. Only moments that nobody announces (the exit
//! file follows GOAT's end, a lock is about to be handed over) are looked at repeatedly: inotify(7) would tell of
//! the file, but to close it takes the kernel up to 20 ms, which is longer than a whole step.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

use super::folder::{Folder, State};
use super::process::Process;
use super::{MOMENT, PATIENCE};
use crate::Exit;

/// Between the first two looks for the exit file once GOAT has ended; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Between TERMs: a first process without a handler yet loses one (`pid_namespaces(7)`).
const REPEAT: Duration = Duration::from_secs(1);

/// How a place's GOAT ended; none where nothing can say so any more.
pub(super) async fn exit(folder: &Folder) -> io::Result<Option<Exit>> {
    let mut pause = FIRST_PAUSE;
    let mut has_ended = false;
    loop {
        if let Some(exit) = folder.exit()? {
            return Ok(Some(exit));
        }
        // Asked in this order: a sandbox writes the exit before it lets go of the lock.
        let held = folder.is_held()?;
        if let Some(goat) = goat(folder)? {
            Watched::new(goat)?.ended().await?;
            if !has_ended {
                has_ended = true;
                pause = FIRST_PAUSE;
            }
        }
        if !held {
            return folder.exit();
        }
        sleep(pause).await;
        pause = (pause * 2).min(MOMENT);
    }
}

/// Ends a place's GOAT with TERM, and with KILL after `grace`.
pub(super) async fn stop(folder: &Folder, grace: Duration) -> io::Result<()> {
    let until = Instant::now() + grace;
    let made = Instant::now() + PATIENCE;
    while folder.is_held()? && !folder.has_started()? {
        if Instant::now() > made {
            return Err(io::Error::other("it is being made and does not get ready"));
        }
        sleep(MOMENT).await;
    }
    let Some(goat) = goat(folder)? else {
        return Ok(());
    };
    let goat = Watched::new(goat)?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        goat.signal(Signal::SIGTERM)?;
        if let Ok(ended) = timeout(left.min(REPEAT), goat.ended()).await {
            ended?;
            return written(folder).await;
        }
    }
    goat.signal(Signal::SIGKILL)?;
    match timeout(PATIENCE, goat.ended()).await {
        Ok(ended) => ended?,
        Err(_) => return Err(io::Error::other("GOAT was killed and does not end")),
    }
    written(folder).await
}

/// Waits until the sandbox has ended what GOAT left, where no namespace does, and has written down the end.
async fn written(folder: &Folder) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while folder.is_held()? && folder.ended()?.is_none() {
        if Instant::now() > until {
            return Err(io::Error::other("what GOAT left does not end"));
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Kills a place's sandbox and GOAT, and waits until both, and with GOAT all that it started, are gone.
pub(super) async fn kill(folder: &Folder) -> io::Result<()> {
    // A state that cannot be read names nobody.
    let Ok(Some(State { sandbox, goat })) = folder.state() else {
        return Ok(());
    };
    let mut watched = Vec::new();
    // The sandbox first, so that it does not go on to do something about GOAT's end.
    for process in [Some(sandbox), goat].into_iter().flatten() {
        if let Some(pidfd) = process.open()? {
            pidfd_send_signal(pidfd.as_fd(), Signal::SIGKILL)?;
            watched.push(Watched::new(pidfd)?);
        }
    }
    for process in watched {
        match timeout(PATIENCE, process.ended()).await {
            Ok(ended) => ended?,
            Err(_) => return Err(io::Error::other("a process of it was killed and does not end")),
        }
    }
    Ok(())
}

fn goat(folder: &Folder) -> io::Result<Option<OwnedFd>> {
    match folder.state()?.and_then(|state| state.goat) {
        Some(goat) => Process::open(goat),
        None => Ok(None),
    }
}

#[expect(
    deprecated,
    reason = "its unsafe successor guards against types that close or change their descriptor; these do not"
)]
fn readable<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE)
}

struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    fn new(pidfd: OwnedFd) -> io::Result<Self> {
        readable(pidfd).map(Self)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        pidfd_send_signal(self.0.get_ref().as_fd(), signal).map(drop)
    }

    /// A pidfd is readable once its process has ended, and stays so.
    async fn ended(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        ready.retain_ready();
        Ok(())
    }
}
