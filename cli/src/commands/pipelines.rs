//! `goatherd pipelines` and `goatherd pipeline`.

use anyhow::Context as _;
use api::people::{JobView, PipelineSummary, PipelineView};

use crate::config::{PipelineShow, Pipelines};
use crate::error::{Ending, Failure};
use crate::output::{self, json, time};

/// Lists the newest pipelines.
pub(crate) async fn list(arguments: &Pipelines) -> Result<Ending, Failure> {
    let pipelines = arguments
        .remote
        .client()?
        .pipelines()
        .await
        .context("cannot list pipelines")?;
    for summary in &pipelines {
        output::line(&if arguments.json {
            json::to_line(summary)
        } else {
            headline(summary)
        });
    }
    Ok(Ending::Succeeded)
}

/// Shows one pipeline.
pub(crate) async fn show(arguments: &PipelineShow) -> Result<Ending, Failure> {
    let view = arguments
        .remote
        .client()?
        .pipeline(&arguments.pipeline)
        .await
        .context("cannot get the pipeline")?;
    if arguments.json {
        output::line(&json::to_line(&view));
    } else {
        text(&view).iter().for_each(|line| output::line(line));
    }
    Ok(Ending::Succeeded)
}

fn headline(summary: &PipelineSummary) -> String {
    let outcome = summary.outcome.map_or("running", api::PipelineOutcome::word);
    let commit: String = summary.commit.chars().take(12).collect();
    let PipelineSummary {
        id,
        repository,
        reference,
        created,
        ..
    } = summary;
    format!(
        "{id}  {outcome}  {repository}  {commit}  {reference}  {}",
        time::moment(*created)
    )
}

fn text(view: &PipelineView) -> Vec<String> {
    let mut lines = vec![headline(&view.summary)];
    if let Some(cause) = &view.summary.cause {
        lines.push(format!("  {}", cause.sentence()));
        lines.push(format!("  hint: {}", cause.hint()));
    }
    for job in &view.jobs {
        lines.extend(job_text(job));
    }
    lines
}

fn job_text(job: &JobView) -> Vec<String> {
    let needs = if job.requires.is_empty() {
        String::new()
    } else {
        format!(", after {}", job.requires.join(", "))
    };
    let mut lines = vec![format!("  {}: {}{needs}  ({})", job.name, job.state, job.task)];
    if let Some(cause) = &job.cause {
        lines.push(format!("    {}", cause.sentence()));
        lines.push(format!("    hint: {}", cause.hint()));
    }
    for attempt in &job.attempts {
        let outcome = attempt.outcome.map_or(attempt.phase.word(), api::Outcome::word);
        lines.push(format!(
            "    attempt {} on {}: {outcome}",
            attempt.attempt.number, attempt.agent
        ));
        for step in &attempt.steps {
            let end = match &step.end {
                None => "not ended".to_owned(),
                Some(end) => json::to_line(end),
            };
            lines.push(format!("      {} {}: {end}", step.step, step.name));
        }
        if attempt.lost_bytes > 0 {
            lines.push(format!(
                "      {} bytes of output could not be kept",
                attempt.lost_bytes
            ));
        }
    }
    for artifact in &job.artifacts {
        lines.push(format!(
            "    artifact {}: {} bytes, sha256 {}",
            artifact.name, artifact.size, artifact.sha256
        ));
    }
    lines
}
