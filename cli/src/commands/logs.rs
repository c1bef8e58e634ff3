//! `goatherd logs`.

use std::io::IsTerminal as _;
use std::pin::pin;

use anyhow::Context as _;
use api::Outcome;
use api::people::{JobView, PipelineView};
use client::Client;
use futures_util::StreamExt as _;

use super::follow::{follow, follow_job};
use crate::config::Logs;
use crate::error::{Ending, Failure};
use crate::output::lines::Escapes;
use crate::output::terminal::clean;
use crate::output::{self, View, json, time};
use crate::which;

/// A line longer than this, in bytes, is printed in pieces.
const LONGEST: usize = 64 * 1024;

/// Shows what jobs wrote so far, or goes on until they end.
pub(crate) async fn run(arguments: &Logs) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let (pipeline, job) =
        which::pipeline_and_job(&client, arguments.pipeline.as_deref(), arguments.job.as_deref()).await?;
    let id = &pipeline.summary.id;
    if arguments.follow {
        let mut view = View::new(arguments.json);
        return Ok(match &job {
            Some(job) => follow_job(&client, id, job, &mut view).await?,
            None => {
                let (outcome, cause) = follow(&client, id, &mut view).await?;
                Ending::of(outcome, cause.as_ref())
            }
        });
    }
    let chosen: Vec<&JobView> = pipeline
        .jobs
        .iter()
        .filter(|one| job.as_ref().is_none_or(|job| *job == one.name))
        .filter(|one| !arguments.failed || is_unsuccessful(one))
        .collect();
    if arguments.json {
        events(&client, &pipeline, &chosen).await?;
        return Ok(Ending::Succeeded);
    }
    if let Some(at) = pipeline.summary.logs_removed {
        return Err(anyhow::anyhow!(
            "the logs of pipeline {id} were removed {}, as the server's retention says",
            time::moment(at)
        )
        .into());
    }
    tell_what_is_missing(arguments, &pipeline, &chosen);
    for one in &chosen {
        // As tail(1) does it for more than one file.
        if pipeline.jobs.len() > 1 && job.is_none() {
            output::line(&format!("==> {} <==", heading(one)));
        }
        print(&client, one).await?;
    }
    Ok(Ending::Succeeded)
}

fn is_unsuccessful(job: &JobView) -> bool {
    !matches!(job.outcome, None | Some(Outcome::Succeeded | Outcome::Skipped))
}

fn heading(job: &JobView) -> String {
    match &job.sentence {
        Some(sentence) => format!("{}: {}: {sentence}", job.name, job.state),
        None => format!("{}: {}", job.name, job.state),
    }
}

/// Nothing at all would be no answer.
fn tell_what_is_missing(arguments: &Logs, pipeline: &PipelineView, chosen: &[&JobView]) {
    if pipeline.jobs.is_empty() {
        let why = pipeline
            .summary
            .cause
            .as_ref()
            .map_or_else(|| "it is not compiled yet".to_owned(), api::Cause::sentence);
        output::complain(&format!("the pipeline has no jobs: {why}"));
    } else if chosen.is_empty() && arguments.failed {
        output::complain("no job failed");
    }
}

/// Prints what a job wrote, line by line.
async fn print(client: &Client, job: &JobView) -> anyhow::Result<()> {
    let what = || format!("cannot get the log of job `{}`", job.name);
    let escapes = if std::io::stdout().is_terminal() {
        Escapes::KeepColours
    } else {
        Escapes::Remove
    };
    let show = |line: &[u8]| output::line(&clean(&String::from_utf8_lossy(line), escapes));
    let pieces = client.log(&job.task).await.with_context(what)?;
    let mut pieces = pin!(pieces);
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend(piece.with_context(what)?);
        let mut shown = 0;
        while let Some(end) = rest[shown..].iter().position(|byte| *byte == b'\n') {
            show(&rest[shown..shown + end]);
            shown += end + 1;
        }
        rest.drain(..shown);
        if rest.len() > LONGEST {
            show(&std::mem::take(&mut rest));
        }
    }
    if !rest.is_empty() {
        show(&rest);
    }
    Ok(())
}

/// Prints what happened so far, as `follow --json` does.
async fn events(client: &Client, pipeline: &PipelineView, chosen: &[&JobView]) -> anyhow::Result<()> {
    let what = "cannot get the pipeline's events";
    let events = client.events_so_far(&pipeline.summary.id).await.context(what)?;
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        let (_, event) = event.context(what)?;
        let wanted = match event.what.job() {
            Some(job) => chosen.iter().any(|one| one.name == job),
            None => chosen.len() == pipeline.jobs.len(),
        };
        if wanted {
            output::line(&json::render(&event));
        }
    }
    Ok(())
}
