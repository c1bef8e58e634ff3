//! `goatherd pipelines` and `goatherd pipeline`.

use anyhow::Context as _;
use api::people::{JobView, PipelineSummary, PipelineView};
use api::runner::task::StepEnd;

use client::people::Which;

use crate::config::{PipelineShow, Pipelines};
use crate::error::{Ending, Failure};
use crate::output::{self, json, time};
use crate::which;

/// Lists the newest pipelines.
pub(crate) async fn list(arguments: &Pipelines) -> Result<Ending, Failure> {
    let which = Which {
        prefix: None,
        commit: None,
        repository: arguments.repository.as_deref(),
        limit: arguments.limit,
    };
    let client = arguments.remote.client()?;
    let pipelines = client
        .pipelines_which(&which)
        .await
        .context("cannot list pipelines")?;
    if arguments.json {
        pipelines
            .iter()
            .for_each(|summary| output::line(&json::to_line(summary)));
        return Ok(Ending::Succeeded);
    }
    if pipelines.is_empty() {
        output::complain(&match &arguments.repository {
            Some(repository) => format!("there are no pipelines of `{repository}`"),
            None => "there are no pipelines".to_owned(),
        });
    }
    let rows: Vec<Vec<String>> = pipelines.iter().map(row).collect();
    output::table(&rows).iter().for_each(|line| output::line(line));
    Ok(Ending::Succeeded)
}

fn row(summary: &PipelineSummary) -> Vec<String> {
    vec![
        summary.id.to_string(),
        summary.repository.clone(),
        output::reference(&summary.reference).to_owned(),
        output::commit(&summary.commit).to_owned(),
        time::age(summary.created),
        outcome(summary).to_owned(),
    ]
}

fn outcome(summary: &PipelineSummary) -> &'static str {
    summary.outcome.map_or("running", api::PipelineOutcome::word)
}

/// Shows one pipeline.
pub(crate) async fn show(arguments: &PipelineShow) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let summary = which::pipeline(&client, arguments.pipeline.as_ref()).await?;
    let view = client
        .pipeline(&summary.id)
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
    let outcome = outcome(summary);
    let commit = output::commit(&summary.commit);
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
    for (what, removed) in [
        ("logs", view.summary.logs_removed),
        ("artifacts", view.summary.artifacts_removed),
    ] {
        if let Some(at) = removed {
            lines.push(format!("  {what} removed {}", time::moment(at)));
        }
    }
    for job in &view.jobs {
        lines.extend(job_text(job));
    }
    lines
}

/// How a step ended, in words.
fn step_end(end: &StepEnd) -> String {
    let took = time::seconds(end.duration_ms);
    match (end.exit_code, end.signal) {
        (0, _) => format!("done in {took}"),
        (_, Some(signal)) => format!("ended by signal {signal} after {took}"),
        (code, None) => format!("exit code {code} after {took}"),
    }
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
                Some(end) => step_end(end),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_how_it_ended_and_after_how_long() {
        let end = |exit_code, signal| {
            step_end(&StepEnd {
                exit_code,
                signal,
                duration_ms: 1500,
            })
        };

        assert_eq!(end(0, None), "done in 1.5s");
        assert_eq!(end(3, None), "exit code 3 after 1.5s");
        assert_eq!(end(137, Some(9)), "ended by signal 9 after 1.5s");
    }
}
