//! `goatherd rerun`.

use anyhow::Context as _;
use api::people::RerunRequest;

use super::follow::follow;
use crate::config::Rerun;
use crate::error::{Ending, Failure};
use crate::output::{self, View, json};
use crate::which;

/// Runs a pipeline's commit again; prints the new pipeline's id, or follows it.
pub(crate) async fn run(arguments: &Rerun) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let pipeline = which::pipeline(&client, arguments.pipeline.as_ref()).await?;
    let request = RerunRequest {
        failed: arguments.failed,
    };
    let started = client
        .rerun(&pipeline.id, &request)
        .await
        .context("cannot run the pipeline again")?;
    if arguments.follow {
        output::complain(&format!("pipeline {}", started.pipeline));
        let mut view = View::new(arguments.json);
        let (outcome, cause) = follow(&client, &started.pipeline, &mut view).await?;
        return Ok(Ending::of(outcome, cause.as_ref()));
    }
    output::line(&if arguments.json {
        json::to_line(&started)
    } else {
        started.pipeline.to_string()
    });
    Ok(Ending::Succeeded)
}
