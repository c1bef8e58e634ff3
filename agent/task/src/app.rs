//! The task agent from its start to its end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::runner::task::{FinishRequest, Task};
use api::{Outcome, Phase, Secret};
use client::Client;
use runtime::logs::Verbosity;
use sys::process::current_user;
use sys::secrecy::{OomScore, become_undumpable, scrub_environment};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::children::Children;
use crate::config::{Config, Surroundings, is_for_steps};
use crate::context::Context;
use crate::control::{Control, Stop};
use crate::decide::{Facts, verdict};
use crate::environment::{base, home, resolve};
use crate::error::TaskAgentError;
use crate::finish::Finish;
use crate::folder::PrivateFolder;
use crate::heartbeat::Keeper;
use crate::lease::Lease;
use crate::lock;
use crate::mask::Masks;
use crate::output::Output;
use crate::prepare::{StopSignals, fetch, read_token, setup};
use crate::reports::Reports;
use crate::shipper::Shipper;
use crate::spool::{Limits, Spool};
use crate::steps::{Progress, run_steps};
use crate::supervise::Supervisor;

/// The shortest deadline of one call: a server under load is slow, whatever the terms are.
const SHORTEST_CALL: Duration = Duration::from_secs(5);

/// Runs one task.
///
/// # Errors
/// [`TaskAgentError`]; none exactly when the terminal record was acknowledged.
pub fn run(config: Config) -> Result<(), TaskAgentError> {
    runtime::logs::start(if config.verbose {
        Verbosity::Verbose
    } else {
        Verbosity::Normal
    });
    for flag in &config.ignored {
        tracing::debug!(flag, "a flag is not known, and ignored");
    }
    // The order matters: see `sys::secrecy`. The token is not here yet.
    let oom_score = OomScore::open()
        .inspect_err(|error| tracing::debug!(%error, "steps get this process's own OOM score"))
        .ok();
    become_undumpable().map_err(setup("hide this process from others"))?;
    let variables = scrub_environment(is_for_steps).unwrap_or_else(|error| {
        tracing::warn!(%error, "the environment block stays as it is");
        std::env::vars_os().collect()
    });
    let surroundings = Surroundings::sort(variables);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(setup("start"))?;
    let result = runtime.block_on(start(config, surroundings, oom_score));
    // Standard input may still be open, and a thread wait for it.
    runtime.shutdown_background();
    result
}

async fn start(
    config: Config,
    surroundings: Surroundings,
    oom_score: Option<OomScore>,
) -> Result<(), TaskAgentError> {
    let mut asked = StopSignals::watch().map_err(setup("watch signals"))?;
    let child_ended = signal(SignalKind::child()).map_err(setup("watch children"))?;
    let children = Children::new(oom_score).map_err(setup("take charge of orphans"))?;
    let prepared = async {
        let token = read_token().await?;
        let client = Client::builder(&config.base_url)
            .token(token.clone())
            .user_agent(format!("goatherd-task-agent/{}", runtime::build::VERSION))
            .instance(surroundings.instance.clone())
            .build()
            .map_err(TaskAgentError::Fetch)?;
        let (task, sent) = fetch(&client).await?;
        Ok((token, client, task, sent))
    };
    let (token, client, task, sent) = tokio::select! {
        prepared = prepared => prepared?,
        () = asked.come() => return Err(TaskAgentError::Interrupted),
    };
    tracing::info!(
        task.attempt = %task.attempt, task.job, task.steps = task.steps.len(), "the task is here"
    );
    if task.attempt.to_string() != config.allocation {
        tracing::warn!(
            told = config.allocation,
            "the task is of another attempt than was said"
        );
    }
    let control = Control::new();
    let terms = &task.terms;
    let keeper = Keeper::new(Lease::new(terms, sent), client.clone(), control.clone(), terms);
    let mut workers = JoinSet::new();
    workers.spawn(children.clone().collect(child_ended));
    workers.spawn(keeper.clone().beat());
    workers.spawn(keeper.clone().watch());
    workers.spawn(raise_on(control.clone(), asked));
    let job = Job {
        limit: limit_of(&task, config.max_run_time),
        client,
        control,
        children,
        keeper,
        token,
        surroundings,
        task,
    };
    job.run(workers).await
}

/// The second TERM, and every later one, is ignored: the first is being acted on.
async fn raise_on(control: Control, mut asked: StopSignals) {
    loop {
        asked.come().await;
        control.raise(Stop::Terminated);
    }
}

/// What is left of the job's time.
fn limit_of(task: &Task, max_run_time: Option<Duration>) -> Duration {
    let left = task
        .time_limit
        .duration()
        .saturating_sub(task.time_used.duration());
    max_run_time.map_or(left, |most| left.min(most))
}

/// A task that was fetched.
struct Job {
    task: Task,
    client: Client,
    control: Control,
    children: Children,
    keeper: Keeper,
    token: Secret,
    surroundings: Surroundings,
    limit: Duration,
}

impl Job {
    async fn run(self, mut workers: JoinSet<()>) -> Result<(), TaskAgentError> {
        let folder = self.private_folder();
        let private = folder.as_ref().map_or(Path::new("/tmp"), PrivateFolder::path);
        let spool = Spool::new(private.to_owned(), self.task.stored, Limits::default());
        let spool = Arc::new(spool);
        let (reports, reported) = self.start_workers(&mut workers, &spool);
        let finish = Finish {
            client: self.client.clone(),
            control: self.control.clone(),
            spool: Arc::clone(&spool),
            reported,
            call: self.call_limit(),
            resend: self.task.terms.resend.duration(),
        };
        let context = self.context(spool.clone(), reports, private.to_owned());
        let result = tokio::select! {
            result = carry_out(context, &spool, finish) => result,
            never = watch_workers(workers, self.control.clone()) => match never {},
        };
        if let Some(folder) = folder {
            folder.remove();
        }
        result
    }

    /// How long one call may take.
    fn call_limit(&self) -> Duration {
        self.task.terms.long_poll.duration().max(SHORTEST_CALL)
    }

    /// Whoever sends reports and output, and minds the time. The receiver resolves when every report is
    /// acknowledged.
    fn start_workers(
        &self,
        workers: &mut JoinSet<()>,
        spool: &Arc<Spool>,
    ) -> (Reports, oneshot::Receiver<()>) {
        let (reports, reporter) = Reports::new(
            self.task.attempt.clone(),
            self.client.clone(),
            self.control.clone(),
            self.keeper.clone(),
            Arc::clone(spool),
            self.call_limit(),
        );
        let (done, reported) = oneshot::channel();
        workers.spawn(async move {
            reporter.run().await;
            let _ = done.send(());
        });
        let shipper = Shipper {
            spool: Arc::clone(spool),
            client: self.client.clone(),
            control: self.control.clone(),
            keeper: self.keeper.clone(),
            patience: Limits::default().patience,
            limit: self.call_limit(),
        };
        workers.spawn(shipper.run());
        let (control, limit) = (self.control.clone(), self.limit);
        workers.spawn(async move {
            tokio::time::sleep(limit).await;
            control.raise(Stop::TimeLimit);
        });
        (reports, reported)
    }

    fn private_folder(&self) -> Option<PrivateFolder> {
        let temporary = std::env::temp_dir();
        let home = self.home();
        let places = [
            &temporary,
            Path::new("/tmp"),
            Path::new("/var/tmp"),
            Path::new("/dev/shm"),
            &home,
        ];
        PrivateFolder::make(&places)
            .inspect_err(|error| {
                let message = format!("no folder can be written for the task agent's files: {error}");
                self.control.raise(Stop::Internal { message });
            })
            .ok()
    }

    fn home(&self) -> PathBuf {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        home(&self.surroundings.variables, current_user().uid, &users)
    }

    fn context(&self, spool: Arc<Spool>, reports: Reports, private: PathBuf) -> Context {
        let task = self.task.clone();
        let tokens = [&self.token].into_iter().chain(&task.source.token);
        let secrets = task.secrets.values().chain(tokens).map(Secret::expose);
        let output = Output::new(spool, Masks::new(secrets));
        let home = self.home();
        let folder = resolve(&task.working_directory, &home, &home);
        Context {
            base: base(&self.surroundings.variables, &task, &home, &folder),
            supervisor: Supervisor::new(
                self.children.clone(),
                self.control.clone(),
                task.terms.grace.duration(),
            ),
            client: self.client.clone(),
            output,
            reports,
            home,
            folder,
            private,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
            deadline: Instant::now() + self.limit,
            task,
        }
    }
}

/// The steps, what they leave behind, the record.
async fn carry_out(context: Context, spool: &Spool, finish: Finish) -> Result<(), TaskAgentError> {
    let context = Arc::new(context);
    let progress = Arc::new(Mutex::new(Progress::default()));
    context.reports.phase(Phase::Running).await;
    // A task of its own, so that a panic in a step becomes a terminal record.
    let steps = tokio::spawn(run_steps(Arc::clone(&context), Arc::clone(&progress)));
    if let Err(error) = steps.await {
        let message = format!("the task agent failed: {error}");
        tracing::error!(%message);
        let stop = Stop::Internal { message };
        context.supervisor.control.raise(stop.clone());
        lock(&progress).stop = Some(stop);
    }
    context.reports.phase(Phase::Finishing).await;
    let slack = context.task.terms.slack.duration();
    if !context.supervisor.end_leftovers(slack).await {
        tracing::error!("processes of the steps are still there after KILL");
    }
    context.output.close().await;
    let record = record(&lock(&progress), context.task.time_limit, spool.close());
    // The last one who could report.
    drop(context);
    match record {
        Some(record) => {
            tracing::info!(outcome = %record.outcome, cause = ?record.cause, "the steps are over");
            finish.send(&record).await
        }
        None => Err(TaskAgentError::Gone),
    }
}

fn record(progress: &Progress, limit: api::Millis, last_sequence: u64) -> Option<FinishRequest> {
    let facts = Facts {
        stop: progress.stop.clone(),
        running: progress.running.clone(),
        failure: progress.failure.clone(),
        limit,
    };
    let (outcome, cause): (Outcome, _) = verdict(facts)?;
    Some(FinishRequest {
        outcome,
        cause,
        steps: progress.results.clone(),
        last_sequence,
    })
}

/// Awaits the workers. One that panics stops the steps; the others end with the task.
async fn watch_workers(mut workers: JoinSet<()>, control: Control) -> std::convert::Infallible {
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the task agent failed");
            let message = format!("a part of the task agent failed: {error}");
            control.raise(Stop::Internal { message });
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Millis, PipelineId, TaskId};

    #[test]
    fn the_shorter_limit_counts_and_what_is_used_is_gone() {
        let mut task = Task {
            attempt: api::AttemptRef::new(TaskId::new("t").expect("an id"), 1),
            pipeline: PipelineId::new("p").expect("an id"),
            job: "j".to_owned(),
            source: api::runner::task::Source {
                repository: "r".to_owned(),
                clone_url: None,
                token: None,
                commit: String::new(),
                reference: String::new(),
            },
            steps: Vec::new(),
            environment: Default::default(),
            secrets: Default::default(),
            working_directory: "~/project".to_owned(),
            shell: None,
            time_limit: Millis::seconds(60),
            time_used: Millis::seconds(10),
            terms: Default::default(),
            stored: 0,
        };

        assert_eq!(limit_of(&task, None), Duration::from_secs(50));
        assert_eq!(
            limit_of(&task, Some(Duration::from_secs(5))),
            Duration::from_secs(5)
        );
        task.time_used = Millis::seconds(70);
        assert_eq!(limit_of(&task, None), Duration::ZERO);
    }
}
