//! `goatherd follow`, and following for `run`.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use api::people::{Event, EventKind};
use api::{Cause, PipelineId, PipelineOutcome};
use client::{Client, ClientError};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::config::Follow;
use crate::error::{Ending, Failure};
use crate::output::{self, View};
use crate::which;

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// A connection that held for as long without any event was one.
const HELD: Duration = Duration::from_secs(5);
/// The pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(300);

/// Follows a pipeline of a server, from its first event.
pub(crate) async fn run(arguments: &Follow) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let pipeline = which::pipeline(&client, arguments.pipeline.as_ref()).await?;
    let (outcome, cause) = follow(&client, &pipeline.id, &mut View::new(arguments.json)).await?;
    Ok(Ending::of(outcome, cause.as_ref()))
}

/// Shows all events until the last. A connection that breaks is made again where it left off.
pub(crate) async fn follow(
    client: &Client,
    pipeline: &PipelineId,
    view: &mut View,
) -> anyhow::Result<(PipelineOutcome, Option<Cause>)> {
    watch(client, pipeline, async |event| {
        view.show(event).await;
        match &event.what {
            EventKind::PipelineFinished { outcome, cause } => ControlFlow::Break((*outcome, cause.clone())),
            _ => ControlFlow::Continue(()),
        }
    })
    .await
}

/// Shows all events of one job until its last, or the pipeline's.
pub(crate) async fn follow_job(
    client: &Client,
    pipeline: &PipelineId,
    job: &str,
    view: &mut View,
) -> anyhow::Result<Ending> {
    watch(client, pipeline, async |event| {
        if event.what.job() == Some(job) {
            view.show(event).await;
        }
        match &event.what {
            EventKind::JobFinished {
                job: one, outcome, ..
            } if one == job => ControlFlow::Break(Ending::of_job(*outcome)),
            EventKind::PipelineFinished { outcome, cause } => {
                ControlFlow::Break(Ending::of(*outcome, cause.as_ref()))
            }
            _ => ControlFlow::Continue(()),
        }
    })
    .await
}

/// Takes all events until `take` has what it wants.
async fn watch<T>(
    client: &Client,
    pipeline: &PipelineId,
    mut take: impl AsyncFnMut(&Event) -> ControlFlow<T>,
) -> anyhow::Result<T> {
    let mut cursor = 0;
    let mut met = false;
    let mut absence = Absence::default();
    loop {
        let began = Instant::now();
        let error = match client.events(pipeline, cursor).await {
            Ok(events) => {
                met = true;
                let mut events = pin!(events);
                let broken = loop {
                    match events.next().await {
                        Some(Ok((at, event))) => {
                            cursor = at;
                            absence.over();
                            if let ControlFlow::Break(end) = take(&event).await {
                                return Ok(end);
                            }
                        }
                        Some(Err(error)) => break Some(error),
                        None => break None,
                    }
                };
                if began.elapsed() >= HELD {
                    absence.over();
                }
                broken
            }
            // A server that was never there is told at once.
            Err(error) if met && error.may_pass() => Some(error),
            Err(error) => return Err(error).context("cannot follow the pipeline"),
        };
        if absence.goes_on(error.as_ref()) > PATIENCE {
            return match error {
                Some(error) => Err(error).context("cannot follow the pipeline"),
                None => Err(anyhow::anyhow!("the server sends no events")),
            };
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The time without a server, of which is told once that it began and once that it ended.
#[derive(Debug, Default)]
struct Absence {
    since: Option<Instant>,
    told: bool,
}

impl Absence {
    /// The connection broke, or could not be made. How long there has been none.
    fn goes_on(&mut self, error: Option<&ClientError>) -> Duration {
        let away = self.since.get_or_insert_with(Instant::now).elapsed();
        if let Some(error) = error
            && !self.told
        {
            self.told = true;
            let left = PATIENCE.saturating_sub(away).as_secs();
            output::complain(&format!(
                "lost the server ({}); trying again for up to {left} s",
                error.chain()
            ));
        }
        away
    }

    /// The server is there.
    fn over(&mut self) {
        if std::mem::take(self).told {
            output::complain("the server is there again");
        }
    }
}
