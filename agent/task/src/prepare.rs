//! Before there is a task: signals, the token, the first call.

use std::io::{self, Read as _};
use std::time::Duration;

use api::Secret;
use api::runner::task::Task;
use client::{Client, ClientError, Effort};
use sys::process::boot_time_now;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::error::TaskAgentError;
use crate::retry::Backoff;

/// The longest token that is read.
const LONGEST_TOKEN: u64 = 64 * 1024;
/// How long the server is tried before the first answer, when its terms are not known yet.
const FIRST_CONTACT: Duration = Duration::from_secs(300);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) fn setup(what: &'static str) -> impl FnOnce(io::Error) -> TaskAgentError {
    move |source| TaskAgentError::Setup { what, source }
}

/// TERM and INT.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The task token: all of standard input.
pub(crate) async fn read_token() -> Result<Secret, TaskAgentError> {
    // A thread of its own, because GOAT may hold the other end open. It starts no process.
    let text = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().take(LONGEST_TOKEN).read_to_string(&mut text)?;
        Ok(text)
    })
    .await
    .map_err(io::Error::other)
    .and_then(|read: io::Result<String>| read)
    .map_err(setup("read the task token from standard input"))?;
    let text = Secret::new(text);
    let token = Secret::new(text.expose().trim());
    if token.is_empty() {
        Err(TaskAgentError::NoToken)
    } else {
        Ok(token)
    }
}

/// The task, and when the call that was answered was sent.
pub(crate) async fn fetch(client: &Client) -> Result<(Task, Duration), TaskAgentError> {
    let deadline = Instant::now() + FIRST_CONTACT;
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    loop {
        let sent = boot_time_now();
        match client.task(Effort::Once(Duration::from_secs(20))).await {
            Ok(task) => return Ok((task, sent)),
            Err(error) => give_up_or_wait(error, deadline, &mut backoff).await?,
        }
    }
}

async fn give_up_or_wait(
    error: ClientError,
    deadline: Instant,
    backoff: &mut Backoff,
) -> Result<(), TaskAgentError> {
    if error.is_gone() {
        return Err(TaskAgentError::Gone);
    }
    if !error.may_pass() || Instant::now() >= deadline {
        return Err(TaskAgentError::Fetch(error));
    }
    tracing::warn!(error = %error.chain(), "the task is asked for again");
    backoff.pause().await;
    Ok(())
}
