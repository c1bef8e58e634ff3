//! What callers hand to the store and get from it, where no wire type says it already.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use api::operation::Step;
use api::{AttemptRef, Millis, PipelineId, TaskId, Terms};
use queue::{CommitStatus, Time};

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The terms that attempts get from now on.
    pub terms: Terms,
    /// The resource class of a job that names none.
    pub default_resource_class: String,
    /// The time limit of a job that names none.
    pub default_time_limit: Millis,
    /// The repositories whose provider is told how their jobs go.
    pub status_repositories: BTreeSet<String>,
    /// What its files survive.
    pub durability: Durability,
}

/// What files survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Whatever was answered survives a power cut.
    #[default]
    Lasting,
    /// Nothing waits for the disk: for a folder that is removed with the process that made it.
    Throwaway,
}

/// A pipeline to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPipeline {
    /// The repository's name on the server.
    pub repository: String,
    /// The commit, in full.
    pub commit: String,
    /// The ref, such as `refs/heads/main`.
    pub reference: String,
    /// Only these jobs and what they need; all where empty.
    pub jobs: Vec<String>,
    /// Who asked, as the audit log says it.
    pub actor: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a pipeline comes from, and so whom its config and code are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A push to the repository itself, by somebody who may write there.
    Push,
    /// Another's copy of the repository, such as a pull request of a fork: anybody.
    Fork,
    /// Somebody with the right to start pipelines asked for it.
    Manual,
}

impl Origin {
    /// Whether its jobs may have the repository's secrets.
    #[must_use]
    pub const fn is_trusted(self) -> bool {
        match self {
            Self::Push | Self::Manual => true,
            Self::Fork => false,
        }
    }
}

/// What decides which secrets a task may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The repository's name on the server.
    pub repository: String,
    /// The ref that was pushed.
    pub reference: String,
    /// The job's name.
    pub job: String,
    /// Where the pipeline comes from.
    pub origin: Origin,
}

/// A webhook delivery whose signature was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The hook.
    pub hook: String,
    /// The provider's id of this delivery.
    pub id: String,
    /// The body's SHA-256, in hexadecimal digits.
    pub body_sha256: String,
    /// The provider's word for what happened.
    pub event: String,
    /// The raw body.
    pub body: Vec<u8>,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored; with the pipeline that it made.
    New(Option<PipelineId>),
    /// It, or the same body, was stored before; with the pipeline that it made then.
    Repeated(Option<PipelineId>),
}

/// A pipeline whose config was not compiled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncompiled {
    /// Its id.
    pub pipeline: PipelineId,
    /// The repository's name on the server.
    pub repository: String,
    /// The commit, in full.
    pub commit: String,
    /// The ref.
    pub reference: String,
    /// Only these jobs and what they need; all where empty.
    pub jobs: Vec<String>,
}

/// A commit status that the provider does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentStatus {
    /// Which: one for each commit and context.
    pub number: i64,
    /// Its version. A later one may be there before this one is sent.
    pub version: u64,
    /// The pipeline that it is about.
    pub pipeline: PipelineId,
    /// The repository's name.
    pub repository: String,
    /// The commit, in full.
    pub commit: String,
    /// What of the commit it is about: `goatherd/JOB`, or `goatherd`.
    pub context: String,
    /// The status.
    pub status: CommitStatus,
}

/// What retention removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// What the steps wrote.
    Logs,
    /// What the steps sent.
    Artifacts,
    /// All that is known of a pipeline.
    Pipeline,
}

/// Of which pipelines something is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those that ended before a time.
    EndedBefore(Time),
    /// The oldest, until so many bytes are gone.
    Oldest {
        /// How many.
        bytes: u64,
    },
}

/// Something that is being removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The pipeline's row.
    pub(crate) number: i64,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// What of it.
    pub what: Removed,
    /// Its jobs, by their task ids.
    pub tasks: Vec<TaskId>,
}

/// The artifacts of a job that are named: attempt and SHA-256.
pub type Kept = HashSet<(u32, String)>;

/// How much there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Of output.
    pub logs: u64,
    /// Of artifacts.
    pub artifacts: u64,
}

/// Which pipelines a list shows; all where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// Those whose id begins so.
    pub prefix: Option<String>,
    /// Those of this commit.
    pub commit: Option<String>,
    /// Those of this repository; upper and lower case are one.
    pub repository: Option<String>,
}

/// Which jobs run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Those that were asked for at first.
    All,
    /// Those that did not succeed, and what they need.
    Unsuccessful,
}

/// What became of the wish to run a pipeline again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rerun {
    /// This pipeline does it.
    Started(PipelineId),
    /// There is no such pipeline.
    NotFound,
    /// It still runs, so that it would run twice; and what did not succeed is known only at the end.
    NotEnded,
    /// All of it succeeded.
    NothingToDo,
}

/// A task as its task agent gets it, but for the clone URL, which the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTask {
    /// The attempt.
    pub attempt: AttemptRef,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The job's name.
    pub job: String,
    /// The repository's name on the server.
    pub repository: String,
    /// The commit, in full.
    pub commit: String,
    /// The ref that was pushed.
    pub reference: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Variables for every `run` step: the built-in ones, and the job's over them.
    pub environment: BTreeMap<String, String>,
    /// Where steps run.
    pub working_directory: String,
    /// The job's shell, where it names one.
    pub shell: Option<String>,
    /// The longest that the job may run, counted from `starting`.
    pub time_limit: Millis,
    /// How much of the time limit is over already.
    pub time_used: Millis,
    /// The attempt's terms.
    pub terms: Terms,
    /// The highest contiguous number of stored output.
    pub stored: u64,
}
