//! `goatherd cancel`.

use anyhow::Context as _;

use crate::config::Cancel;
use crate::error::{Ending, Failure};
use crate::which;

/// Cancels a pipeline; returns once the server has taken the order.
pub(crate) async fn run(arguments: &Cancel) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let pipeline = match &arguments.pipeline {
        Some(asked) => which::named(&client, asked).await?,
        None => which::running(&client).await?,
    };
    client
        .cancel_pipeline(&pipeline.id, &arguments.why)
        .await
        .context("cannot cancel the pipeline")?;
    Ok(Ending::Succeeded)
}
