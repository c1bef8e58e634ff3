//! From a push to a plan: fetches the commit, reads its config, compiles it and starts the pipeline, or says
//! why there is none. What was not done when the server ended is done after its next start.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Cause, Millis, PipelineId};
use pipeline::CONFIG_FILES;
use store::{Store, StoreError, Uncompiled};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::complaint::Complaint;
use crate::config::{GitSettings, Repository};
use crate::git::{ConfigFile, GitError, Mirrors};

/// How many pipelines are worked on at once.
const AT_ONCE: usize = 4;
/// The longest wait between two tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The wait before a pipeline is tried again after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What the compiler works with.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) store: Store,
    pub(crate) mirrors: Arc<Mirrors>,
    pub(crate) repositories: Arc<[Repository]>,
    pub(crate) settings: GitSettings,
    /// The time limit of every job, over what configs say.
    pub(crate) time_limit: Option<Millis>,
    /// Told after each new pipeline.
    pub(crate) wake: Arc<Notify>,
    /// What was said of a store that fails.
    pub(crate) complaint: Mutex<Complaint>,
}

/// What a pipeline gets.
enum Compiled {
    Plan(api::Plan),
    Cause(Cause),
    /// It ended by itself meanwhile: somebody cancelled it.
    Over,
}

impl Compiler {
    /// Works until it is told to stop. What it is at then is left for the next start.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let this = Arc::new(self);
        let mut working = JoinSet::new();
        let mut taken: HashSet<PipelineId> = HashSet::new();
        loop {
            let mut retry = None;
            match this.store.uncompiled().await {
                Ok(waiting) => {
                    for one in waiting {
                        if working.len() < AT_ONCE && taken.insert(one.pipeline.clone()) {
                            working.spawn(Arc::clone(&this).work(one));
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(
                        error = crate::http::chain(&error),
                        "waiting pipelines could not be read"
                    );
                    retry = Some(AFTER_FAILURE);
                }
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                () = this.wake.notified() => {}
                Some(ended) = working.join_next(), if !working.is_empty() => {
                    match ended {
                        Ok(pipeline) => { taken.remove(&pipeline); }
                        // It panicked, so nobody knows which it was; after the next start all are tried again.
                        Err(error) => tracing::error!(%error, "a compilation broke off"),
                    }
                }
                () = tokio::time::sleep(retry.unwrap_or_default()), if retry.is_some() => {}
            }
        }
        working.shutdown().await;
    }

    async fn work(self: Arc<Self>, waiting: Uncompiled) -> PipelineId {
        let id = waiting.pipeline.clone();
        let done = match self.compile(&waiting).await {
            Ok(Compiled::Plan(plan)) => {
                tracing::info!(pipeline.id = %id, jobs = plan.jobs.len(), "pipeline compiled");
                self.store.start_pipeline(&id, plan).await
            }
            Ok(Compiled::Cause(cause)) => {
                tracing::info!(pipeline.id = %id, cause = cause.sentence(), "pipeline has no plan");
                self.store.fail_pipeline(&id, cause).await
            }
            Ok(Compiled::Over) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let news = self.complaint().news(&error);
            if let Some(error) = news {
                tracing::error!(pipeline.id = %id, error, "pipeline could not be started; trying again until it can");
            }
            // It stays uncompiled, so it is tried again; not at once, because the store is in trouble.
            tokio::time::sleep(AFTER_FAILURE).await;
        } else if self.complaint().over() {
            tracing::info!(pipeline.id = %id, "pipelines can be started again");
        }
        id
    }

    fn complaint(&self) -> MutexGuard<'_, Complaint> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn compile(&self, waiting: &Uncompiled) -> Result<Compiled, StoreError> {
        let Some(repository) = self
            .repositories
            .iter()
            .find(|one| one.name() == waiting.repository)
        else {
            return Ok(Compiled::Cause(Cause::Clone {
                message: format!(
                    "the server's configuration has no repository `{}`",
                    waiting.repository
                ),
                certain: true,
            }));
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.read(repository, &waiting.commit).await {
                Ok(file) => return Ok(self.limited(plan(file, waiting))),
                Err(GitError::Refused(message)) => {
                    return Ok(Compiled::Cause(Cause::Clone {
                        message,
                        certain: true,
                    }));
                }
                Err(GitError::Failed(message)) if tries >= self.settings.tries => {
                    return Ok(Compiled::Cause(Cause::Clone {
                        message,
                        certain: false,
                    }));
                }
                Err(GitError::Failed(message)) => {
                    let wait = self.backoff(tries);
                    tracing::warn!(
                        pipeline.id = %waiting.pipeline,
                        repository = repository.name(),
                        tries,
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        message,
                        "repository could not be read; trying again"
                    );
                    tokio::time::sleep(wait).await;
                }
            }
            if self.is_over(&waiting.pipeline).await? {
                return Ok(Compiled::Over);
            }
        }
    }

    fn limited(&self, mut compiled: Compiled) -> Compiled {
        if let (Compiled::Plan(plan), Some(limit)) = (&mut compiled, self.time_limit) {
            for job in &mut plan.jobs {
                job.time_limit = Some(limit);
            }
        }
        compiled
    }

    async fn read(&self, repository: &Repository, commit: &str) -> Result<ConfigFile, GitError> {
        self.mirrors.fetch(repository, commit).await?;
        self.mirrors.config_file(repository, commit, CONFIG_FILES).await
    }

    fn backoff(&self, tries: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
        self.settings
            .backoff
            .duration()
            .saturating_mul(doubled)
            .min(LONGEST_BACKOFF)
    }

    async fn is_over(&self, pipeline: &PipelineId) -> Result<bool, StoreError> {
        let view = self.store.pipeline(pipeline).await?;
        Ok(view.is_none_or(|view| view.summary.outcome.is_some()))
    }
}

/// Compiles a config file and takes the jobs that were asked for.
fn plan(file: ConfigFile, waiting: &Uncompiled) -> Compiled {
    let (name, bytes) = match file {
        ConfigFile::Found { name, bytes } => (name, bytes),
        ConfigFile::Unusable { name, why } => return config_error(name, why),
        ConfigFile::Missing => {
            let [first, ..] = CONFIG_FILES else {
                return config_error("", "no config file has a name".to_owned());
            };
            let why = format!(
                "there is no config in commit {}; looked for {}",
                waiting.commit,
                CONFIG_FILES.join(", ")
            );
            return config_error(first, why);
        }
    };
    let text = match pipeline::decode(name, bytes) {
        Ok(text) => text,
        Err(found) => return Compiled::Cause(found.to_cause()),
    };
    let compiled = pipeline::compile(name, &text);
    if let Some(cause) = compiled.to_cause() {
        return Compiled::Cause(cause);
    }
    let Some(plan) = compiled.plan else {
        return config_error(name, "it compiles to nothing".to_owned());
    };
    match pipeline::select(&plan, &waiting.jobs) {
        Ok(plan) => Compiled::Plan(plan),
        Err(error) => config_error(name, error.to_string()),
    }
}

fn config_error(file: &str, message: String) -> Compiled {
    Compiled::Cause(Cause::Config {
        file: file.to_owned(),
        line: 0,
        column: 0,
        message,
    })
}
