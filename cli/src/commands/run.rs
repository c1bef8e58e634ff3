//! `goatherd run`: the jobs of the working tree here, with a server and an agent of its own.

pub(crate) mod room;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use api::people::{Event, EventKind, PipelineRequest};
use api::{Cause, PipelineId, PipelineOutcome, Plan, Secret};
use client::Client;
use container_agent::StateLife;
use runtime::stop::Stops;
use server::config::{Durability, Exposure, Repository};
use server::{App, Config};
use tokio_util::sync::CancellationToken;

use super::artifact::download_all;
use super::check::color;
use super::follow::follow;
use super::webhook::random;
use crate::config::{Run, user_state};
use crate::error::{Ending, Failure};
use crate::folders::{self, Folders};
use crate::output::{self, View};
use crate::snapshot::{Snapshot, Source};
use crate::together::{Agents, Together};
use crate::variables::Variables;

/// Runs the jobs and ends as they do.
pub(crate) async fn run(arguments: Run, stops: Stops) -> Result<Ending, Failure> {
    let here = std::env::current_dir().context("cannot tell where this is")?;
    let variables = Variables::of(&arguments)?;
    for warning in &variables.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    if let Some(folder) = &arguments.artifacts {
        check_writable(folder)?;
    }
    let folders = Folders::make(arguments.data.as_deref())?;
    let swept = folders::sweep();
    let mut view = View::new(arguments.json);
    let ended = in_folders(&folders, &here, &arguments, variables, &mut view, &stops).await;
    if let Err(failure) = &ended
        && let Some(cause) = failure.to_cause().filter(|_| view.wants_last())
    {
        let outcome = match cause {
            Cause::Config { .. } => PipelineOutcome::Failed,
            _ => PipelineOutcome::InfraFailed,
        };
        view.show(&finished(outcome, cause));
    }
    let removed = folders.remove().await;
    swept.finish(&stops.second).await;
    let ending = ended?;
    removed?;
    Ok(ending)
}

async fn in_folders(
    folders: &Folders,
    here: &Path,
    arguments: &Run,
    variables: Variables,
    view: &mut View,
    stops: &Stops,
) -> Result<Ending, Failure> {
    let prepared = tokio::select! {
        prepared = prepare(folders, here, arguments) => prepared,
        () = stops.first.cancelled() => return Ok(interrupted(arguments, view)),
    };
    let (snapshot, plan) = match prepared {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(cause)) => {
            if arguments.json {
                view.show(&finished(PipelineOutcome::Failed, cause));
            }
            return Ok(Ending::ConfigInvalid);
        }
        // A terminal's Ctrl-C ends git too.
        Err(_) if stops.first.is_cancelled() => return Ok(interrupted(arguments, view)),
        Err(failure) => return Err(failure),
    };
    output::complain(&snapshot.sentence);
    for note in &snapshot.notes {
        output::complain(&format!("note: {note}"));
    }
    let mut config = configuration(folders, &snapshot)?;
    config.time_limit = arguments.job_timeout;
    config.extra_environment = variables.plain;
    config.extra_secrets = variables.secret;
    see_to_it(folders, config, arguments, &snapshot, &plan, view, stops).await
}

/// Finds out what is to run, before anything is started.
async fn prepare(
    folders: &Folders,
    here: &Path,
    arguments: &Run,
) -> Result<Result<(Snapshot, Plan), Cause>, Failure> {
    let source = if arguments.committed {
        Source::Head
    } else {
        Source::WorkingTree
    };
    let snapshot = Snapshot::take(here, &folders.scratch(), source).await?;
    let plan = match plan(&snapshot).await? {
        Ok(plan) => plan,
        Err(cause) => return Ok(Err(cause)),
    };
    let plan = pipeline::select(&plan, &arguments.jobs).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Ok((snapshot, plan)))
}

/// Compiles the config. What is wrong with it goes to standard error.
async fn plan(snapshot: &Snapshot) -> Result<Result<Plan, Cause>, Failure> {
    let invalid = |file: &str, message: String| {
        output::complain(&format!("error: {message}"));
        Ok(Err(Cause::Config {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        }))
    };
    let Some(file) = snapshot.config().await? else {
        let names = pipeline::CONFIG_FILES.join(", ");
        return invalid(
            ".ci.yml",
            format!("there is no config in what would run: none of {names}"),
        );
    };
    let source = match pipeline::decode(file.name, file.bytes) {
        Ok(source) => source,
        Err(found) => {
            let cause = found.to_cause();
            let rendered = pipeline::render_all(&[*found], "", color(&std::io::stderr()));
            output::complain(rendered.trim_end());
            return Ok(Err(cause));
        }
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

/// What is said and answered where a signal ended all at once: whoever reads the events waits for a last one.
fn interrupted(arguments: &Run, view: &mut View) -> Ending {
    if arguments.json {
        let cause = Cause::Cancelled {
            by: "a signal".to_owned(),
            why: "interrupted".to_owned(),
        };
        view.show(&finished(PipelineOutcome::Cancelled, cause));
    }
    Ending::Cancelled
}

/// The last event of a pipeline whose own is not to be had.
fn finished(outcome: PipelineOutcome, cause: Cause) -> Event {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Event {
        time: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        what: EventKind::PipelineFinished {
            outcome,
            cause: Some(cause),
        },
    }
}

/// Starts server and agents in the data folder, sees the pipeline through and stops them.
async fn see_to_it(
    folders: &Folders,
    mut config: Config,
    arguments: &Run,
    snapshot: &Snapshot,
    plan: &Plan,
    view: &mut View,
    stops: &Stops,
) -> Result<Ending, Failure> {
    let admin = Secret::new(random()?);
    config.admin_token = Some(admin.clone());
    // A temporary folder is gone after this process, however that ends.
    let (durability, state) = match arguments.data {
        Some(_) => (Durability::Lasting, StateLife::Lasting),
        None => (Durability::Throwaway, StateLife::Throwaway),
    };
    config.durability = durability;
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
    let agents = Agents::prepare(folders.data(), classes, &arguments.places, state).await?;
    let app = App::build(config).await.context("cannot start the server")?;
    let mut together = Together::start(app, agents).await?;
    let client = Client::builder(&together.url)
        .token(admin)
        .build()
        .context("cannot ask the server")?;
    let seen = tokio::select! {
        seen = see_through(&client, arguments, snapshot, view, stops) => seen.map_err(Failure::from),
        failure = together.broken() => Err(failure),
        full = room::used_up(folders.data()) => Err(Failure::Other(full.into())),
    };
    match seen {
        Ok(Some(ending)) => {
            together.stop(&stops.second).await?;
            Ok(ending)
        }
        Ok(None) => {
            together.stop(&stops.second).await?;
            Ok(interrupted(arguments, view))
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

fn configuration(folders: &Folders, snapshot: &Snapshot) -> Result<Config, Failure> {
    let mut config = Config::new(folders.data().join("server"));
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.exposure = Exposure::Loopback;
    let source = snapshot
        .repository
        .to_str()
        .context("the path of the temporary folder is no text in UTF-8")?;
    let repository = Repository::new(&snapshot.name(), source).map_err(anyhow::Error::new)?;
    config.repositories.push(repository.with_borrowed_objects());
    Ok(config)
}

/// Starts the pipeline and follows it to its end; none where a second signal came before that, so that its last event
/// was not shown.
async fn see_through(
    client: &Client,
    arguments: &Run,
    snapshot: &Snapshot,
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
        repository: snapshot.name(),
        commit: snapshot.commit.clone(),
        reference: snapshot.reference.clone(),
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
        () = stops.second.cancelled() => return Ok(Some(Ending::Cancelled)),
    }
    Ok(Some(Ending::of(outcome, cause.as_ref())))
}

/// Finds out before anything runs whether artifacts can be kept there.
fn check_writable(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot keep artifacts in {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    tempfile::tempfile_in(folder).with_context(cannot)?;
    Ok(())
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
