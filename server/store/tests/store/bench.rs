//! A store in a folder of its own, and the parties that call it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use api::operation::{Operation, Step, When};
use api::people::{EventKind, JobView, PipelineView};
use api::plan::{Need, PlannedJob};
use api::runner::Holder;
use api::runner::claim::{Claim, ClaimRequest, Platform};
use api::runner::presence::{AdoptCandidate, AdoptRequest, Held, PresenceRequest};
use api::runner::task::{
    Bytes, Chunk, Content, FinishRequest, StepEnd, StepEvent, StepRequest, StepResult, Stream,
};
use api::{AgentId, AttemptRef, Cause, InstanceId, Millis, Outcome, PipelineId, Plan, Reach, Terms};
use store::{NewPipeline, Refusal, Reporter, Settings, Store};
use tempfile::TempDir;

pub(crate) const CLASS: &str = "default";

/// Terms that no test outlives.
pub(crate) fn settings() -> Settings {
    Settings {
        terms: Terms::default(),
        default_resource_class: CLASS.to_owned(),
        default_time_limit: Millis::seconds(3600),
        status_repositories: BTreeSet::from(["acme/app".to_owned()]),
        durability: store::Durability::Lasting,
    }
}

/// Terms that a test can wait for.
pub(crate) fn short() -> Settings {
    Settings {
        terms: Terms {
            presence: Millis(300),
            lease_before: Millis(300),
            lease_after: Millis(300),
            window: Millis(50),
            grace: Millis(50),
            slack: Millis(50),
            ..Terms::default()
        },
        ..settings()
    }
}

/// An open store and its folder.
pub(crate) struct Bench {
    pub(crate) store: Store,
    folder: TempDir,
    settings: Settings,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::open(tempfile::tempdir().unwrap(), settings).await
    }

    async fn open(folder: TempDir, settings: Settings) -> Self {
        let store = Store::open(folder.path(), settings.clone()).await.unwrap();
        Self {
            store,
            folder,
            settings,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Closes it and opens it again.
    pub(crate) async fn restart(self) -> Self {
        let settings = self.settings.clone();
        self.restart_with(settings).await
    }

    pub(crate) async fn restart_with(self, settings: Settings) -> Self {
        self.store.close().await;
        Self::open(self.folder, settings).await
    }

    /// Opens what is in its files now, as if the process had been killed.
    pub(crate) async fn killed(&self) -> Self {
        Self::open(self.copied(), self.settings.clone()).await
    }

    /// Its files as they are now, as a killed process leaves them.
    pub(crate) fn copied(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(self.path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap();
            // What is shared memory for a living process is made again for the next one.
            if !name.to_string_lossy().ends_with("-shm") {
                fs::copy(&path, copy.path().join(name)).unwrap();
            }
        }
        copy
    }

    /// A pipeline of these jobs, started.
    pub(crate) async fn started(&self, plan: Plan) -> PipelineId {
        self.started_for("example", plan).await
    }

    pub(crate) async fn started_for(&self, repository: &str, plan: Plan) -> PipelineId {
        let pipeline = self
            .store
            .create_pipeline(new_pipeline(repository))
            .await
            .unwrap();
        self.store.start_pipeline(&pipeline, plan).await.unwrap();
        pipeline
    }

    pub(crate) async fn view(&self, pipeline: &PipelineId) -> PipelineView {
        self.store.pipeline(pipeline).await.unwrap().unwrap()
    }

    pub(crate) async fn job(&self, pipeline: &PipelineId, name: &str) -> JobView {
        let view = self.view(pipeline).await;
        view.jobs.into_iter().find(|job| job.name == name).unwrap()
    }

    pub(crate) async fn events(&self, pipeline: &PipelineId) -> Vec<EventKind> {
        let events = self.store.events(pipeline, 0, 10_000).await.unwrap();
        events.into_iter().map(|(_, event)| event.what).collect()
    }

    pub(crate) async fn actions(&self) -> Vec<String> {
        let entries = self.store.audit(0, 10_000).await.unwrap();
        entries.into_iter().map(|entry| entry.action).collect()
    }

    /// Lets time pass until a job is in a state.
    pub(crate) async fn until(&self, pipeline: &PipelineId, name: &str, state: &str) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let next = self.store.tick().await.unwrap();
            let job = self.job(pipeline, name).await;
            if job.state == state {
                return job;
            }
            assert!(
                Instant::now() < deadline,
                "{name} is {} and not {state}",
                job.state
            );
            let wait = next.map_or(Millis(10), |next| next.since(self.store.now()));
            tokio::time::sleep(wait.duration().min(Duration::from_millis(50))).await;
        }
    }
}

pub(crate) fn new_pipeline(repository: &str) -> NewPipeline {
    NewPipeline {
        repository: repository.to_owned(),
        commit: "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00".to_owned(),
        reference: "refs/heads/main".to_owned(),
        jobs: Vec::new(),
        actor: "admin".to_owned(),
        origin: store::Origin::Manual,
    }
}

/// A plan of jobs that need others by name: `("test", &["build"])`.
pub(crate) fn plan(jobs: &[(&str, &[&str])]) -> Plan {
    Plan {
        jobs: jobs.iter().map(|(name, needs)| planned(name, needs)).collect(),
    }
}

pub(crate) fn planned(name: &str, needs: &[&str]) -> PlannedJob {
    let run = Operation::Run {
        command: "true".to_owned(),
        shell: None,
        working_directory: None,
        environment: BTreeMap::new(),
        no_output_timeout: None,
    };
    let step = |name: &str, operation| Step {
        name: name.to_owned(),
        when: When::OnSuccess,
        operation,
    };
    PlannedJob {
        name: name.to_owned(),
        image: Some("debian".to_owned()),
        services: Vec::new(),
        resource_class: None,
        environment: BTreeMap::from([("MINE".to_owned(), "1".to_owned())]),
        steps: vec![
            step("checkout", Operation::Checkout { path: None }),
            step("make", run),
        ],
        needs: needs
            .iter()
            .map(|need| Need {
                job: (*need).to_owned(),
                outcomes: vec![Outcome::Succeeded],
            })
            .collect(),
        shell: None,
        working_directory: None,
        retry_infra: false,
        time_limit: None,
    }
}

/// A container agent.
#[derive(Clone)]
pub(crate) struct AgentBench {
    pub(crate) store: Store,
    pub(crate) holder: Holder,
    pub(crate) reach: Reach,
    pub(crate) nonce: u64,
    pub(crate) holds: Vec<AttemptRef>,
}

impl AgentBench {
    pub(crate) fn new(bench: &Bench, name: &str) -> Self {
        Self {
            store: bench.store.clone(),
            holder: Holder {
                agent: AgentId::new(name).unwrap(),
                incarnation: 1,
            },
            reach: Reach("here".to_owned()),
            nonce: 0,
            holds: Vec::new(),
        }
    }

    pub(crate) fn request(&self) -> ClaimRequest {
        ClaimRequest {
            holder: self.holder.clone(),
            nonce: self.nonce,
            holds: self.holds.clone(),
            free_slots: 1,
            platform: Platform {
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
            },
            driver: "local".to_owned(),
            reach: self.reach.clone(),
            name: "machine".to_owned(),
            wait: Millis(0),
        }
    }

    /// Claims with a new nonce, and holds what it gets.
    pub(crate) async fn claim(&mut self) -> Option<Claim> {
        self.nonce += 1;
        let claim = self
            .store
            .close_nonce(CLASS, &self.request())
            .await
            .unwrap()
            .unwrap();
        if let Some(claim) = &claim {
            self.holds.push(claim.attempt.clone());
        }
        claim
    }

    pub(crate) fn reporter(&self) -> Reporter {
        Reporter::Agent {
            class: CLASS.to_owned(),
            holder: self.holder.clone(),
        }
    }

    pub(crate) fn presence(&self) -> PresenceRequest {
        PresenceRequest {
            holder: self.holder.clone(),
            reach: self.reach.clone(),
            holds: self
                .holds
                .iter()
                .map(|attempt| Held {
                    attempt: attempt.clone(),
                    cancel_seen: false,
                })
                .collect(),
            draining: false,
            wait: Millis(0),
        }
    }

    pub(crate) fn adopt(&self, attempt: &AttemptRef, held_by: &Holder) -> AdoptRequest {
        AdoptRequest {
            holder: self.holder.clone(),
            reach: self.reach.clone(),
            candidates: vec![AdoptCandidate {
                attempt: attempt.clone(),
                held_by: held_by.clone(),
            }],
        }
    }
}

/// A task agent of one attempt.
pub(crate) struct TaskBench {
    pub(crate) store: Store,
    pub(crate) attempt: AttemptRef,
    pub(crate) instance: Option<InstanceId>,
}

impl TaskBench {
    pub(crate) fn new(bench: &Bench, attempt: &AttemptRef) -> Self {
        Self::of(bench, attempt, "i-1")
    }

    pub(crate) fn of(bench: &Bench, attempt: &AttemptRef, instance: &str) -> Self {
        Self {
            store: bench.store.clone(),
            attempt: attempt.clone(),
            instance: Some(InstanceId::new(instance).unwrap()),
        }
    }

    pub(crate) async fn output(&self, chunks: Vec<Chunk>) -> Result<u64, Refusal> {
        let instance = self.instance.clone();
        self.store.output(&self.attempt, instance, chunks).await.unwrap()
    }

    pub(crate) async fn step(&self, step: u32, event: StepEvent) -> Result<(), Refusal> {
        let request = StepRequest { step, event, time: 1 };
        let instance = self.instance.clone();
        self.store.step(&self.attempt, instance, &request).await.unwrap()
    }

    pub(crate) async fn finish(&self, outcome: Outcome, last_sequence: u64) -> Result<(), Refusal> {
        let cause = match outcome {
            Outcome::Failed => Some(Cause::Exit { code: 3 }),
            _ => None,
        };
        let request = FinishRequest {
            outcome,
            cause,
            steps: vec![StepResult {
                step: 1,
                end: end_of_step(i32::from(outcome == Outcome::Failed) * 3),
            }],
            last_sequence,
        };
        let instance = self.instance.clone();
        self.store
            .finish(&self.attempt, instance, &request)
            .await
            .unwrap()
    }
}

pub(crate) fn end_of_step(exit_code: i32) -> StepEnd {
    StepEnd {
        exit_code,
        signal: None,
        duration_ms: 7,
    }
}

pub(crate) fn chunk(sequence: u64, text: &str) -> Chunk {
    Chunk {
        step: 1,
        sequence,
        stream: Stream::Stdout,
        time: 5,
        content: Content::Bytes(Bytes(text.as_bytes().to_vec())),
    }
}
