//! Passes the task agent's standard error on, and keeps both ends of it for a message.

use std::fs::File;
use std::future::pending;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::excerpt::Excerpt;
use crate::logs::{self, PIPE_ATOMIC};

/// How often a reader that has stopped reading is looked at again.
const PAUSE: Duration = Duration::from_millis(10);
/// How long such a reader may hold up the end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// The most that a pipe holds, unless someone privileged changed it (pipe(7)).
const LARGEST_PIPE: usize = 1024 * 1024;

/// The passing on, while it goes on.
#[derive(Debug)]
pub(super) struct Relay {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Excerpt>,
}

impl Relay {
    /// Reads `pipe` until its end, or until [`finish`](Self::finish).
    pub(super) fn start(pipe: OwnedFd) -> io::Result<Self> {
        let pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(pass_on_all(pipe, Stop { stopped, since: None }));
        Ok(Self { stop, task })
    }

    /// Passes on what is in the pipe now, and no more: something may hold its other end for ever.
    pub(super) async fn finish(self) -> Excerpt {
        // It has ended by itself where the pipe has.
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

async fn pass_on_all(pipe: pipe::Receiver, mut stop: Stop) -> Excerpt {
    let mut excerpt = Excerpt::default();
    let mut buffer = [0; PIPE_ATOMIC];
    while stop.since.is_none() {
        tokio::select! {
            biased;
            () = stop.wait() => break,
            _ = pipe.readable() => {}
        }
        let count = match pipe.try_read(&mut buffer) {
            Ok(0) => return excerpt,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return excerpt,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        excerpt.push(bytes);
        pass_on(bytes, &mut stop).await;
    }
    pass_on_rest(pipe, &mut excerpt, &mut stop).await;
    excerpt
}

/// Passes on what is there now. Of the pipe itself: the runtime only knows what it was told before it last slept, and
/// would take the last words for none.
async fn pass_on_rest(pipe: pipe::Receiver, excerpt: &mut Excerpt, stop: &mut Stop) {
    let Ok(mut pipe) = pipe.into_nonblocking_fd().map(File::from) else {
        return;
    };
    let mut buffer = [0; PIPE_ATOMIC];
    let mut left = LARGEST_PIPE;
    while left > 0 {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        excerpt.push(bytes);
        pass_on(bytes, stop).await;
        left = left.saturating_sub(count);
    }
}

/// Waits for a slow reader, as the task agent itself would have to. Without one the bytes are dropped.
async fn pass_on(bytes: &[u8], stop: &mut Stop) {
    let error = io::stderr();
    while !(sys::stream::wait_writable(&error, Duration::ZERO) && logs::put(bytes)) {
        if stop.since.is_some_and(|since| since.elapsed() > LAST_PATIENCE) {
            return;
        }
        tokio::select! {
            () = stop.wait() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

struct Stop {
    stopped: oneshot::Receiver<()>,
    since: Option<Instant>,
}

impl Stop {
    /// Returns once, when the stop comes. Cancel-safe.
    async fn wait(&mut self) {
        if self.since.is_some() {
            return pending().await;
        }
        // A sender that is gone means the same.
        let _ = (&mut self.stopped).await;
        self.since = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn last_words_are_read_although_nobody_was_told_of_them() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let relay = Relay::start(reader.into()).expect("it is a pipe");

        writer.write_all(b"last words").expect("it takes it");
        let said = relay.finish().await;

        assert_eq!(said.render(), b"last words");
    }
}
