//! What the server is told of phases and steps: in order, each until it is acknowledged, beside the steps.
//!
//! Output travels on its own, but in the same order: a step's output waits for its beginning, and its end waits
//! for its output.

use std::sync::Arc;
use std::time::Duration;

use api::runner::ErrorCode;
use api::runner::report::PhaseRequest;
use api::runner::task::{StepEnd, StepEvent, StepRequest};
use api::{AttemptRef, Phase};
use client::{Client, ClientError, Effort};
use sys::process::boot_time_now;
use tokio::sync::{mpsc, oneshot};

use crate::control::{Control, Stop};
use crate::heartbeat::Keeper;
use crate::output::now_milliseconds;
use crate::retry::Backoff;
use crate::spool::Spool;

/// How many reports wait; a step has two.
const WAITING: usize = 1024;

/// What became of a *began*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    /// The server has it.
    Acknowledged,
    /// The server refused it: nothing may begin.
    Refused,
}

#[derive(Debug)]
enum Report {
    Phase(Phase),
    Began {
        step: u32,
        time: i64,
        /// Set for the first `run` operation, which waits for the answer. It is not sent any more once nobody
        /// waits: the operation will not run then, and the server must not think that it may have.
        first_run: Option<oneshot::Sender<Began>>,
    },
    Ended {
        step: u32,
        time: i64,
        end: StepEnd,
        /// The newest chunk then.
        output: u64,
    },
}

/// Where reports are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    queue: mpsc::Sender<Report>,
    spool: Arc<Spool>,
}

/// Who sends them.
#[derive(Debug)]
pub(crate) struct Reporter {
    queue: mpsc::Receiver<Report>,
    attempt: AttemptRef,
    client: Client,
    control: Control,
    keeper: Keeper,
    spool: Arc<Spool>,
    limit: Duration,
}

impl Reports {
    pub(crate) fn new(
        attempt: AttemptRef,
        client: Client,
        control: Control,
        keeper: Keeper,
        spool: Arc<Spool>,
        limit: Duration,
    ) -> (Self, Reporter) {
        let (sender, queue) = mpsc::channel(WAITING);
        let reports = Self {
            queue: sender,
            spool: Arc::clone(&spool),
        };
        let reporter = Reporter {
            queue,
            attempt,
            client,
            control,
            keeper,
            spool,
            limit,
        };
        (reports, reporter)
    }

    /// The attempt is in this phase.
    pub(crate) async fn phase(&self, phase: Phase) {
        self.hand_in(Report::Phase(phase)).await;
    }

    /// A step begins.
    pub(crate) async fn began(&self, step: u32) {
        let time = now_milliseconds();
        self.hand_in(Report::Began {
            step,
            time,
            first_run: None,
        })
        .await;
    }

    /// The first `run` operation wants to begin. It may once the server has acknowledged it.
    pub(crate) async fn may_begin(&self, step: u32) -> Began {
        let (answer, answered) = oneshot::channel();
        let time = now_milliseconds();
        self.hand_in(Report::Began {
            step,
            time,
            first_run: Some(answer),
        })
        .await;
        answered.await.unwrap_or(Began::Refused)
    }

    /// A step ended.
    pub(crate) async fn ended(&self, step: u32, end: StepEnd) {
        let time = now_milliseconds();
        let output = self.spool.newest();
        let ended = Report::Ended {
            step,
            time,
            end,
            output,
        };
        self.hand_in(ended).await;
    }

    /// An error means that the attempt is over, which the steps hear elsewhere.
    async fn hand_in(&self, report: Report) {
        let _ = self.queue.send(report).await;
    }
}

impl Reporter {
    /// Sends what is handed in, until nobody can hand in any more.
    pub(crate) async fn run(mut self) {
        while let Some(report) = self.queue.recv().await {
            self.send(report).await;
            if self.is_over() {
                break;
            }
        }
        self.spool.allow_all();
    }

    async fn send(&self, report: Report) {
        match report {
            // An error is logged where it is met, and another phase or the record will do.
            Report::Phase(phase) => drop(self.phase(phase).await),
            Report::Began {
                step,
                time,
                first_run,
            } => {
                match first_run {
                    Some(answer) => self.first_run(step, time, answer).await,
                    None => drop(self.begin(step, time).await),
                }
                self.spool.allow(step);
            }
            Report::Ended {
                step,
                time,
                end,
                output,
            } => {
                tokio::select! {
                    () = self.spool.stored_to(output) => {}
                    () = self.control.gone() => return,
                }
                drop(self.step(step, time, StepEvent::Ended(end)).await);
            }
        }
    }

    async fn phase(&self, phase: Phase) -> Result<Duration, ClientError> {
        let call = Call::Phase(PhaseRequest {
            attempt: self.attempt.clone(),
            holder: None,
            phase,
            detail: String::new(),
        });
        self.until_answered(&call).await
    }

    fn is_over(&self) -> bool {
        self.control
            .current()
            .is_some_and(|raised| raised.stop == Stop::Gone)
    }

    /// Tells that the first `run` operation wants to begin, unless nobody waits for the answer any more.
    async fn first_run(&self, step: u32, time: i64, mut answer: oneshot::Sender<Began>) {
        let began = tokio::select! {
            began = self.begin(step, time) => match began {
                Some(sent) => {
                    self.keeper.begin(sent);
                    Began::Acknowledged
                }
                None => Began::Refused,
            },
            () = answer.closed() => Began::Refused,
        };
        let _ = answer.send(began);
    }

    /// Tells that a step begins. Answers when the call was sent; none where it was refused.
    async fn begin(&self, step: u32, time: i64) -> Option<Duration> {
        match self.step(step, time, StepEvent::Began).await {
            Ok(sent) => Some(sent),
            Err(error) => {
                self.refused(step, &error).await;
                None
            }
        }
    }

    /// Nothing may begin any more.
    async fn refused(&self, step: u32, error: &ClientError) {
        if error.code() == Some(ErrorCode::Cancelling) {
            self.keeper.learn_of_cancel(error).await;
        } else {
            let message = format!(
                "the server refused the beginning of step {step}: {}",
                error.chain()
            );
            self.control.raise(Stop::Internal { message });
        }
    }

    async fn step(&self, step: u32, time: i64, event: StepEvent) -> Result<Duration, ClientError> {
        let call = Call::Step(StepRequest { step, event, time });
        self.until_answered(&call).await
    }

    /// Repeats a call until it is answered. Answers when the last try was sent.
    async fn until_answered(&self, call: &Call) -> Result<Duration, ClientError> {
        let mut backoff = Backoff::new(Duration::from_secs(5));
        loop {
            let sent = boot_time_now();
            match self.once(call).await {
                Ok(()) => {
                    self.keeper.renew(sent);
                    return Ok(sent);
                }
                Err(error) if error.may_pass() => {
                    tracing::debug!(?call, error = %error.chain(), "a report is sent again");
                    backoff.pause().await;
                }
                Err(error) => {
                    if error.is_gone() {
                        self.control.raise(Stop::Gone);
                    } else {
                        tracing::warn!(?call, error = %error.chain(), "a report was refused");
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn once(&self, call: &Call) -> Result<(), ClientError> {
        let effort = Effort::Once(self.limit);
        match call {
            Call::Phase(request) => self.client.phase(request, effort).await,
            Call::Step(request) => self.client.step(request, effort).await,
        }
    }
}

/// A call, ready to be repeated.
#[derive(Debug)]
enum Call {
    Phase(PhaseRequest),
    Step(StepRequest),
}
