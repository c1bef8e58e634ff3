//! `goatherd cancel`.

use anyhow::Context as _;

use crate::config::Cancel;
use crate::error::{Ending, Failure};

/// Cancels a pipeline; returns once the server has taken the order.
pub(crate) async fn run(arguments: &Cancel) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    client
        .cancel_pipeline(&arguments.pipeline, &arguments.why)
        .await
        .context("cannot cancel the pipeline")?;
    Ok(Ending::Succeeded)
}
