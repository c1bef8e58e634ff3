//! Calls of the people's API. Where somebody waits for them, what takes long is said at once, and what will not come
//! is given up sooner.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response};

use crate::builder::is_loopback;
use crate::send::{FIRST_PAUSE, LONGEST_PAUSE, attempt, jitter};
use crate::{Client, ClientError};

/// The longest that one try may take until its answer begins.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
/// How long a call that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// The same where somebody waits for it.
const ATTENDED: Duration = Duration::from_secs(10);
/// How long a call may take until that is said.
const QUIET: Duration = Duration::from_secs(1);

/// Whether a call may be sent again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or nothing more the second time.
    Harmless,
    /// The server may have carried it out although no answer came.
    Never,
}

/// Why a call takes its time.
#[derive(Debug)]
#[non_exhaustive]
pub enum Waiting<'a> {
    /// No answer came yet.
    NoAnswerYet {
        /// The server's URL.
        server: &'a str,
        /// For how much longer it is waited for.
        left: Duration,
    },
    /// It failed, and is tried again.
    Failed {
        /// How.
        error: &'a ClientError,
        /// For how much longer it is tried again.
        left: Duration,
    },
}

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswerYet { server, left } => write!(
                formatter,
                "no answer from the server at {server} yet; waiting for it for up to {} s more",
                left.as_secs()
            ),
            Self::Failed { error, left } => write!(
                formatter,
                "{}; trying again for up to {} s",
                error.chain(),
                left.as_secs()
            ),
        }
    }
}

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Notice(Option<Tell>);

type Tell = Arc<dyn Fn(&Waiting<'_>) + Send + Sync>;

impl Notice {
    pub(crate) fn new(tell: impl Fn(&Waiting<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    const fn somebody_waits(&self) -> bool {
        self.0.is_some()
    }

    fn tell(&self, waiting: &Waiting<'_>) {
        if let Some(tell) = &self.0 {
            tell(waiting);
        }
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Notice" } else { "Nobody" })
    }
}

impl Client {
    /// Sends what `make` makes, and for some time again where it fails and may be repeated. Where somebody waits, a
    /// connection that this machine itself refuses is not tried again: it is known for certain that nothing listens.
    pub(crate) async fn call(
        &self,
        repeat: Repeat,
        make: impl Fn() -> RequestBuilder + Send,
    ) -> Result<Response, ClientError> {
        let start = Instant::now();
        let attended = self.notice.somebody_waits();
        let patience = if attended { ATTENDED } else { AGAIN };
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let error = match self.within(make(), &mut told).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let next = jitter(pause);
            let left = patience.saturating_sub(start.elapsed());
            let in_vain = !error.may_pass() || (attended && self.is_refused_here(&error));
            if repeat == Repeat::Never || in_vain || next >= left {
                return Err(error);
            }
            if !std::mem::replace(&mut told, true) {
                self.notice.tell(&Waiting::Failed { error: &error, left });
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One try, which says so when it takes long.
    async fn within(&self, request: RequestBuilder, told: &mut bool) -> Result<Response, ClientError> {
        let trying = tokio::time::timeout(ANSWER, attempt(request));
        let mut trying = std::pin::pin!(trying);
        let tried = tokio::select! {
            tried = &mut trying => tried,
            () = tokio::time::sleep(QUIET), if !*told => {
                *told = true;
                let left = ANSWER.saturating_sub(QUIET);
                self.notice.tell(&Waiting::NoAnswerYet { server: &self.base, left });
                trying.await
            }
        };
        tried.unwrap_or(Err(ClientError::Deadline(ANSWER)))
    }

    fn is_refused_here(&self, error: &ClientError) -> bool {
        error.is_refused_connection() && reqwest::Url::parse(&self.base).is_ok_and(|url| is_loopback(&url))
    }
}
