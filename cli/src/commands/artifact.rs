//! `goatherd artifacts`, and downloading for `run`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use api::TaskId;
use api::people::{ArtifactView, JobView, PipelineView};
use client::Client;
use futures_util::StreamExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::below;
use crate::config::{ArtifactGet, Artifacts, ArtifactsCommand};
use crate::error::{Ending, Failure};
use crate::output::{self, json, time};
use crate::which;

/// Lists artifacts, or gets one.
pub(crate) async fn run(arguments: &Artifacts) -> Result<Ending, Failure> {
    match &arguments.command {
        Some(ArtifactsCommand::Get(arguments)) => get(arguments).await,
        None => list(arguments).await,
    }
}

/// An artifact in a list for programs.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    job: &'a str,
    task: &'a TaskId,
    #[serde(flatten)]
    artifact: &'a ArtifactView,
}

async fn list(arguments: &Artifacts) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let (pipeline, job) =
        which::pipeline_and_job(&client, arguments.pipeline.as_deref(), arguments.job.as_deref()).await?;
    there_still(&pipeline)?;
    let mut rows = Vec::new();
    for known in &pipeline.jobs {
        if job.as_ref().is_some_and(|job| *job != known.name) {
            continue;
        }
        for artifact in &known.artifacts {
            if arguments.json {
                output::line(&json::to_line(&Listed {
                    job: &known.name,
                    task: &known.task,
                    artifact,
                }));
            }
            rows.push(vec![
                known.name.clone(),
                artifact.name.clone(),
                artifact.size.to_string(),
                artifact.sha256.clone(),
            ]);
        }
    }
    if !arguments.json {
        output::table(&rows).iter().for_each(|line| output::line(line));
    }
    if rows.is_empty() {
        output::complain("there are no artifacts");
    }
    Ok(Ending::Succeeded)
}

/// Whether retention left the artifacts where they were.
fn there_still(pipeline: &PipelineView) -> anyhow::Result<()> {
    match pipeline.summary.artifacts_removed {
        None => Ok(()),
        Some(at) => bail!(
            "the artifacts of pipeline {} were removed {}, as the server's retention says",
            pipeline.summary.id,
            time::moment(at)
        ),
    }
}

/// Downloads one artifact.
async fn get(arguments: &ArtifactGet) -> Result<Ending, Failure> {
    let client = arguments.remote.client()?;
    let pipeline = which::named(&client, &arguments.pipeline).await?;
    let pipeline = client
        .pipeline(&pipeline.id)
        .await
        .context("cannot get the pipeline")?;
    there_still(&pipeline)?;
    let job = pipeline
        .jobs
        .iter()
        .find(|job| job.name == arguments.job)
        .with_context(|| format!("pipeline {} has no job `{}`", arguments.pipeline, arguments.job))?;
    let artifact = job
        .artifacts
        .iter()
        .find(|artifact| artifact.name == arguments.name)
        .with_context(|| {
            let names: Vec<&str> = job
                .artifacts
                .iter()
                .map(|artifact| artifact.name.as_str())
                .collect();
            let has = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            format!(
                "job `{}` has no artifact `{}`; it has: {has}",
                job.name, arguments.name
            )
        })?;
    let here = || artifact.name.rsplit('/').next().unwrap_or(&artifact.name).into();
    let to: PathBuf = arguments.output.clone().unwrap_or_else(here);
    if to == Path::new("-") {
        copy(&client, &job.task, artifact, &mut std::io::stdout()).await?;
    } else {
        download(&client, &job.task, artifact, &to).await?;
        output::complain(&format!(
            "{}: {} bytes, sha256 {}",
            to.display(),
            artifact.size,
            artifact.sha256
        ));
    }
    Ok(Ending::Succeeded)
}

/// Downloads all artifacts of these jobs to `folder`/JOB/NAME; says how many there are.
pub(crate) async fn download_all(client: &Client, jobs: &[JobView], folder: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for job in jobs {
        for artifact in &job.artifacts {
            let path = Path::new(&artifact.name);
            let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
            if !plain || artifact.name.is_empty() {
                bail!(
                    "artifact `{}` of job `{}` would leave its folder",
                    artifact.name,
                    job.name
                );
            }
            let below = Path::new(&below::folder_of_job(&job.name)).join(path);
            below::make_parents(folder, &below)?;
            download(client, &job.task, artifact, &folder.join(below)).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Downloads to a file that is whole or not there.
async fn download(client: &Client, task: &TaskId, artifact: &ArtifactView, to: &Path) -> anyhow::Result<()> {
    let mut name = to
        .file_name()
        .map(OsString::from)
        .with_context(|| format!("{} is no file", to.display()))?;
    name.push(".part");
    let part = to.with_file_name(name);
    let write = |error| anyhow::Error::new(error).context(format!("cannot write {}", part.display()));
    let mut file = below::create(&part).map_err(write)?;
    let copied = copy(client, task, artifact, &mut file).await;
    if let Err(error) = copied.and_then(|()| std::fs::rename(&part, to).map_err(write)) {
        std::fs::remove_file(&part).ok();
        return Err(error);
    }
    Ok(())
}

async fn copy(
    client: &Client,
    task: &TaskId,
    artifact: &ArtifactView,
    to: &mut impl Write,
) -> anyhow::Result<()> {
    let what = || format!("cannot download artifact `{}`", artifact.name);
    let pieces = client.artifact(task, &artifact.name).await.with_context(what)?;
    let mut pieces = std::pin::pin!(pieces);
    let mut digest = Sha256::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.with_context(what)?;
        digest.update(&piece);
        to.write_all(&piece).with_context(what)?;
    }
    to.flush().with_context(what)?;
    let sha256 = hex::encode(digest.finalize());
    if sha256 != artifact.sha256 {
        bail!(
            "artifact `{}` arrived broken: sha256 {sha256} instead of {}",
            artifact.name,
            artifact.sha256
        );
    }
    Ok(())
}
