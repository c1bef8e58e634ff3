//! `goatherd run`: the jobs of the working tree here, with a server and an agent of its own.

mod early;
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
use server::Config;
use server::config::{Durability, Exposure, Known, Repository};
use tokio_util::sync::CancellationToken;

use early::Early;

use super::artifact::download_all;
use super::check::color;
use super::follow::follow;
use super::webhook::random;
use crate::below;
use crate::config::{Run, user_state};
use crate::error::{Ending, Failure};
use crate::folders::{self, Folders};
use crate::output::{self, View};
use crate::snapshot::{ConfigFile, Snapshot, Source};
use crate::together::Together;
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
        show_last(&mut view, outcome, cause, &stops).await;
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
    let mut config = configuration(folders, arguments);
    let preparing = async {
        tokio::select! {
            prepared = prepare(folders, here, arguments) => Some(prepared),
            () = stops.first.cancelled() => None,
        }
    };
    // It comes to its end also where a signal comes: what is half made could not be removed.
    let (prepared, early) = tokio::join!(preparing, early(folders, arguments, &config));
    let (snapshot, plan, file) = match prepared {
        Some(Ok(Ok(prepared))) => prepared,
        other => {
            if let Some(early) = early {
                early.let_go().await;
            }
            return match other {
                Some(Ok(Err(cause))) => {
                    if view.wants_last() {
                        show_last(view, PipelineOutcome::Failed, cause, stops).await;
                    }
                    Ok(Ending::ConfigInvalid)
                }
                // A terminal's Ctrl-C ends git too.
                Some(Err(failure)) if !stops.first.is_cancelled() => Err(failure),
                _ => Ok(interrupted(view, stops).await),
            };
        }
    };
    config.repositories.push(repository(&snapshot, file)?);
    config.extra_environment = variables.plain;
    config.extra_secrets = variables.secret;
    let early = match early {
        Some(early) => early,
        None => Early::prepare_in_turn(folders.data(), &arguments.places, &config).await?,
    };
    see_to_it(early, config, arguments, &snapshot, &plan, view, stops).await
}

/// What can be made ready before it is known what is to run: only in the temporary folder.
async fn early(folders: &Folders, arguments: &Run, config: &Config) -> Option<Early> {
    if arguments.data.is_some() || arguments.places.place_root.is_some() {
        return None;
    }
    Some(Early::prepare(folders.data(), &arguments.places, config).await)
}

/// Finds out what is to run, before anything is started.
async fn prepare(
    folders: &Folders,
    here: &Path,
    arguments: &Run,
) -> Result<Result<(Snapshot, Plan, ConfigFile), Cause>, Failure> {
    let source = if arguments.committed {
        Source::Head
    } else {
        Source::WorkingTree
    };
    let mut snapshot = Snapshot::take(here, &folders.scratch(), source).await?;
    let (plan, file) = match plan(&mut snapshot).await? {
        Ok(planned) => planned,
        Err(cause) => return Ok(Err(cause)),
    };
    let plan = pipeline::select(&plan, &arguments.jobs).map_err(|error| Failure::usage(error.to_string()))?;
    output::tell(snapshot.sentence.as_str()).await;
    for note in &snapshot.notes {
        output::tell(format!("note: {note}")).await;
    }
    Ok(Ok((snapshot, plan, file)))
}

/// Compiles the config. What is wrong with it goes to standard error.
async fn plan(snapshot: &mut Snapshot) -> Result<Result<(Plan, ConfigFile), Cause>, Failure> {
    let invalid = async |file: &str, message: String| {
        output::tell(format!("error: {message}")).await;
        Ok(Err(Cause::Config {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        }))
    };
    let Some(file) = snapshot.config.take() else {
        let names = pipeline::CONFIG_FILES.join(", ");
        return invalid(
            ".ci.yml",
            format!("there is no config in what would run: none of {names}"),
        )
        .await;
    };
    let source = match pipeline::decode(file.name, file.bytes.clone()) {
        Ok(source) => source,
        Err(found) => {
            let cause = found.to_cause();
            let rendered = pipeline::render_all(&[*found], "", color(&std::io::stderr()));
            output::tell(rendered.trim_end()).await;
            return Ok(Err(cause));
        }
    };
    let compiled = pipeline::compile(file.name, &source);
    let rendered = pipeline::render_all(&compiled.diagnostics, &source, color(&std::io::stderr()));
    if !rendered.is_empty() {
        output::tell(rendered.trim_end()).await;
    }
    let cause = compiled.to_cause();
    Ok(match (compiled.plan, cause) {
        (Some(plan), _) => Ok((plan, file)),
        (None, Some(cause)) => Err(cause),
        (None, None) => return Err(anyhow::anyhow!("{} has no plan and no error", file.name).into()),
    })
}

/// What is said and answered where a signal ended all at once: whoever reads the events waits for a last one.
async fn interrupted(view: &mut View, stops: &Stops) -> Ending {
    if view.wants_last() {
        let cause = Cause::Cancelled {
            by: "a signal".to_owned(),
            why: "interrupted".to_owned(),
        };
        show_last(view, PipelineOutcome::Cancelled, cause, stops).await;
    }
    Ending::Cancelled
}

/// Shows what happened as the last event. Nobody may read it: a second signal waits no longer than a moment.
async fn show_last(view: &mut View, outcome: PipelineOutcome, cause: Cause, stops: &Stops) {
    let event = finished(outcome, cause);
    tokio::select! {
        () = view.show(&event) => {}
        () = output::in_a_hurry(stops) => {}
    }
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
    early: Early,
    mut config: Config,
    arguments: &Run,
    snapshot: &Snapshot,
    plan: &Plan,
    view: &mut View,
    stops: &Stops,
) -> Result<Ending, Failure> {
    let admin = Secret::new(random()?);
    config.admin_token = Some(admin.clone());
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
    let store = config.data.clone();
    let (ground, app) = early.take(config).await?;
    let state = match arguments.data {
        Some(_) => StateLife::Lasting,
        None => StateLife::Throwaway,
    };
    let mut together = Together::start(app, ground.agents(classes, state)).await?;
    let client = Client::builder(&together.url)
        .token(admin)
        .build()
        .context("cannot ask the server")?;
    let no_more_jobs = together.stop_of_agents();
    let seen = tokio::select! {
        seen = see_through(&client, arguments, snapshot, view, stops, &no_more_jobs) => seen.map_err(Failure::from),
        failure = together.broken() => Err(failure),
        full = room::used_up(store) => Err(Failure::Other(full.into())),
    };
    match seen {
        Ok(Some(ending)) => {
            together.stop(&stops.second).await?;
            Ok(ending)
        }
        Ok(None) => {
            together.stop(&stops.second).await?;
            Ok(interrupted(view, stops).await)
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

/// The server's, as far as it does not depend on what is run.
fn configuration(folders: &Folders, arguments: &Run) -> Config {
    let mut config = Config::new(folders.data().join("server"));
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.exposure = Exposure::Loopback;
    config.time_limit = arguments.job_timeout;
    // A temporary folder is gone after this process, however that ends.
    config.durability = match arguments.data {
        Some(_) => Durability::Lasting,
        None => Durability::Throwaway,
    };
    config
}

/// The snapshot, as the server's only repository.
fn repository(snapshot: &Snapshot, file: ConfigFile) -> Result<Repository, Failure> {
    let source = snapshot
        .repository
        .to_str()
        .context("the path of the temporary folder is no text in UTF-8")?;
    let repository = Repository::new(&snapshot.name(), source).map_err(anyhow::Error::new)?;
    Ok(repository.served_in_place(Known {
        commit: snapshot.commit.clone(),
        config: file.name,
        bytes: file.bytes,
    }))
}

/// Starts the pipeline and follows it to its end; none where a second signal came before that, so that its last event
/// was not shown.
async fn see_through(
    client: &Client,
    arguments: &Run,
    snapshot: &Snapshot,
    view: &mut View,
    stops: &Stops,
    no_more_jobs: &CancellationToken,
) -> anyhow::Result<Option<Ending>> {
    // What a killed run left in the same folder is not what was asked for now.
    if arguments.data.is_some() {
        cancel_all(client).await?;
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
                let cancelled = async {
                    client.cancel_pipeline(&pipeline, "interrupted").await.context("cannot cancel")?;
                    following.await
                };
                // Neither waits for the other: nobody may read the one or the other.
                let told = output::tell("cancelling; a second signal ends at once");
                tokio::select! {
                    ((), ended) = async { tokio::join!(told, cancelled) } => ended?,
                    () = stops.second.cancelled() => return Ok(None),
                }
            }
        }
    };
    // The agents stop while the artifacts come.
    no_more_jobs.cancel();
    tokio::select! {
        kept = keep_artifacts(client, &pipeline, arguments) => kept?,
        () = stops.second.cancelled() => return Ok(Some(Ending::Cancelled)),
    }
    Ok(Some(Ending::of(outcome, cause.as_ref())))
}

async fn cancel_all(client: &Client) -> anyhow::Result<()> {
    for left in client.pipelines().await.context("cannot list pipelines")? {
        if left.outcome.is_none() {
            client
                .cancel_pipeline(&left.id, "another run began")
                .await
                .context("cannot cancel what was left")?;
        }
    }
    Ok(())
}

/// Finds out before anything runs whether artifacts can be kept there.
fn check_writable(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot keep artifacts in {}", folder.display());
    below::refuse_links(folder).with_context(cannot)?;
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
        output::tell(text).await;
    } else {
        output::print(vec![text]).await;
    }
    Ok(())
}
