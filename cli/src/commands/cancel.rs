//! `goatherd cancel`.

use std::fmt;

use anyhow::Context as _;
use api::people::PipelineSummary;
use api::{Outcome, PipelineOutcome};
use client::Client;

use crate::config::Cancel;
use crate::error::{Ending, Failure};
use crate::output;
use crate::which;

/// Cancels a pipeline or a job of it; returns once the server has taken the order. What has ended already is said to
/// have, and is a failure unless it was cancelled: then all is as it was asked for.
pub(crate) async fn run(arguments: &Cancel) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let pipeline = match &arguments.pipeline {
        Some(asked) => which::named(&client, asked).await?,
        None => which::running(&client).await?,
    };
    if let Some(job) = &arguments.job {
        return cancel_job(&client, &pipeline, job, &arguments.why).await;
    }
    let answer = client
        .cancel_pipeline(&pipeline.id, &arguments.why)
        .await
        .context("cannot cancel the pipeline")?;
    let what = format!("pipeline {}", pipeline.id);
    Ok(ending(
        &what,
        answer.ended,
        answer.ended == Some(PipelineOutcome::Cancelled),
    ))
}

async fn cancel_job(
    client: &Client,
    pipeline: &PipelineSummary,
    job: &str,
    why: &str,
) -> Result<Ending, Failure> {
    let view = client
        .pipeline(&pipeline.id)
        .await
        .context("cannot get the pipeline")?;
    let known = which::job(&view, job)?;
    let answer = client
        .cancel_job(&known.task, why)
        .await
        .context("cannot cancel the job")?;
    let what = format!("job `{job}` of pipeline {}", pipeline.id);
    Ok(ending(
        &what,
        answer.ended,
        answer.ended == Some(Outcome::Cancelled),
    ))
}

fn ending(what: &str, ended: Option<impl fmt::Display>, as_asked: bool) -> Ending {
    let Some(outcome) = ended else {
        return Ending::Succeeded;
    };
    output::complain(&format!("{what} has ended already: {outcome}"));
    if as_asked {
        Ending::Succeeded
    } else {
        Ending::Failed
    }
}
