//! `goatherd run`: the committed jobs of the repository here, with a server and an agent of its own.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use api::people::{Event, EventKind, PipelineRequest};
use api::{Cause, PipelineId, PipelineOutcome, Plan, Secret};
use client::Client;
use runtime::stop::Stops;
use server::config::{Exposure, Repository};
use server::{App, Config};
use tokio_util::sync::CancellationToken;

use super::artifact::download_all;
use super::check::{color, text};
use super::follow::follow;
use super::webhook::random;
use crate::config::{Run, user_state};
use crate::error::{Ending, Failure};
use crate::output::{self, View};
use crate::together::{Agents, Together};
use crate::worktree::Worktree;

/// Runs the jobs and ends as they do.
pub(crate) async fn run(arguments: Run, stops: Stops) -> Result<Ending, Failure> {
    let here = std::env::current_dir().context("cannot tell where this is")?;
    let worktree = Worktree::around(&here).await?;
    let mut view = View::new(arguments.json);
    let plan = match plan(&worktree).await? {
        Ok(plan) => plan,
        Err(cause) => {
            if arguments.json {
                view.show(&finished(cause));
            }
            return Ok(Ending::ConfigInvalid);
        }
    };
    let plan = pipeline::select(&plan, &arguments.jobs).map_err(|error| Failure::usage(error.to_string()))?;
    if worktree.changed {
        let commit: String = worktree.commit.chars().take(12).collect();
        output::complain(&format!(
            "note: the working tree differs from HEAD; what is committed runs ({commit})"
        ));
    }

    let data = Data::make(arguments.data.as_deref())?;
    let ended = in_folder(data.path(), &arguments, &worktree, &plan, &mut view, &stops).await;
    let removed = data.remove();
    let ending = ended?;
    removed?;
    Ok(ending)
}

/// Compiles the committed config before anything is started. What is wrong with it goes to standard error.
async fn plan(worktree: &Worktree) -> Result<Result<Plan, Cause>, Failure> {
    let invalid = |file: &str, message: String| {
        output::complain(&format!("error: {message}"));
        Ok(Err(Cause::Config {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        }))
    };
    let Some(file) = worktree.config().await? else {
        let names = pipeline::CONFIG_FILES.join(", ");
        return invalid(
            ".ci.yml",
            format!("there is no config in this commit: none of {names}"),
        );
    };
    let source = match text(file.name, file.bytes) {
        Ok(source) => source,
        Err(message) => return invalid(file.name, message),
    };
    let compiled = pipeline::compile(file.name, &source);
    let rendered = pipeline::render_all(&compiled.diagnostics, &source, color(&std::io::stderr()));
    if !rendered.is_empty() {
        output::complain(rendered.trim_end());
    }
    let cause = compiled.to_cause();
    Ok(match (compiled.plan, cause) {
        (Some(plan), _) => Ok(plan),
        (None, Some(cause)) => Err(cause),
        (None, None) => return Err(anyhow::anyhow!("{} has no plan and no error", file.name).into()),
    })
}

/// The last event of a pipeline that was never started.
fn finished(cause: Cause) -> Event {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Event {
        time: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        what: EventKind::PipelineFinished {
            outcome: PipelineOutcome::Failed,
            cause: Some(cause),
        },
    }
}

/// Starts server and agents in the data folder, sees the pipeline through and stops them.
async fn in_folder(
    data: &Path,
    arguments: &Run,
    worktree: &Worktree,
    plan: &Plan,
    view: &mut View,
    stops: &Stops,
) -> Result<Ending, Failure> {
    let admin = Secret::new(random()?);
    let config = configuration(data, worktree, admin.clone())?;
    let classes: BTreeSet<String> = plan
        .jobs
        .iter()
        .map(|job| {
            job.resource_class
                .clone()
                .unwrap_or_else(|| config.default_resource_class.clone())
        })
        .collect();
    let classes = classes.into_iter().collect();
    let agents = Agents::prepare(data.to_owned(), classes, &arguments.places).await?;
    let app = App::build(config).await.context("cannot start the server")?;
    let mut together = Together::start(app, agents).await?;
    let client = Client::builder(&together.url)
        .token(admin)
        .build()
        .context("cannot ask the server")?;
    let seen = tokio::select! {
        seen = see_through(&client, arguments, worktree, view, stops) => seen.map_err(Failure::from),
        failure = together.broken() => Err(failure),
    };
    match seen {
        Ok(Some(ending)) => {
            together.stop(&stops.second).await?;
            Ok(ending)
        }
        Ok(None) => {
            together.stop(&stops.second).await?;
            Ok(Ending::Cancelled)
        }
        Err(failure) => {
            // Nothing is left to wait for.
            let at_once = CancellationToken::new();
            at_once.cancel();
            together.stop(&at_once).await.ok();
            Err(failure)
        }
    }
}

fn configuration(data: &Path, worktree: &Worktree, admin: Secret) -> Result<Config, Failure> {
    let mut config = Config::new(data.join("server"));
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.exposure = Exposure::Loopback;
    config.admin_token = Some(admin);
    let source = worktree
        .top
        .to_str()
        .context("the repository's path is no text in UTF-8")?;
    let repository = Repository::new(&worktree.name(), source).map_err(anyhow::Error::new)?;
    config.repositories.push(repository);
    Ok(config)
}

/// Starts the pipeline and follows it to its end; none where a second signal came first.
async fn see_through(
    client: &Client,
    arguments: &Run,
    worktree: &Worktree,
    view: &mut View,
    stops: &Stops,
) -> anyhow::Result<Option<Ending>> {
    // What a killed run left in the same folder is not what was asked for now.
    for left in client.pipelines().await.context("cannot list pipelines")? {
        if left.outcome.is_none() {
            client
                .cancel_pipeline(&left.id, "another run began")
                .await
                .context("cannot cancel what was left")?;
        }
    }
    let request = PipelineRequest {
        repository: worktree.name(),
        commit: worktree.commit.clone(),
        reference: worktree.reference.clone(),
        jobs: arguments.jobs.clone(),
    };
    let pipeline = client
        .start_pipeline(&request)
        .await
        .context("cannot start the pipeline")?
        .pipeline;
    let (outcome, cause) = {
        let mut following = std::pin::pin!(follow(client, &pipeline, view));
        tokio::select! {
            ended = &mut following => ended?,
            () = stops.first.cancelled() => {
                output::complain("cancelling; a second signal ends at once");
                tokio::select! {
                    ended = async {
                        client.cancel_pipeline(&pipeline, "interrupted").await.context("cannot cancel")?;
                        following.await
                    } => ended?,
                    () = stops.second.cancelled() => return Ok(None),
                }
            }
        }
    };
    tokio::select! {
        kept = keep_artifacts(client, &pipeline, arguments) => kept?,
        () = stops.second.cancelled() => return Ok(None),
    }
    Ok(Some(Ending::of(outcome, cause.as_ref())))
}

/// Downloads what the jobs sent, and says where it is.
async fn keep_artifacts(client: &Client, pipeline: &PipelineId, arguments: &Run) -> anyhow::Result<()> {
    let view = client
        .pipeline(pipeline)
        .await
        .context("cannot get the pipeline")?;
    if view.jobs.iter().all(|job| job.artifacts.is_empty()) {
        return Ok(());
    }
    let folder = match (&arguments.artifacts, &arguments.data) {
        (Some(folder), _) => folder.clone(),
        (None, Some(data)) => data.join("runs").join(pipeline.as_str()),
        (None, None) => user_state()?.join("runs").join(pipeline.as_str()),
    };
    let count = download_all(client, &view.jobs, &folder).await?;
    let text = format!(
        "{count} {} in {}",
        if count == 1 { "artifact" } else { "artifacts" },
        folder.display()
    );
    if arguments.json {
        output::complain(&text)
    } else {
        output::line(&text)
    }
    Ok(())
}

/// The folder for server, agents and places.
#[derive(Debug)]
enum Data {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Data {
    fn make(given: Option<&Path>) -> anyhow::Result<Self> {
        Ok(match given {
            Some(folder) => Self::Given(std::path::absolute(folder).context("cannot tell where --data is")?),
            None => Self::Temporary(
                tempfile::TempDir::with_prefix("goatherd-run-").context("cannot make a temporary folder")?,
            ),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Removes a folder of its own.
    fn remove(self) -> anyhow::Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Temporary(folder) => folder.close().context("cannot remove the temporary folder"),
        }
    }
}
