//! What people ask a server, and this machine.

use std::path::PathBuf;

use api::PipelineId;
use clap::{Args, Subcommand};

use super::{Places, Remote};

/// `goatherd follow`.
#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// The pipeline's id, or its beginning [default: the newest of this commit, this repository, or all].
    pub(crate) pipeline: Option<PipelineId>,
    /// Print one JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd pipelines`.
#[derive(Debug, Args)]
pub(crate) struct Pipelines {
    /// Only those of this repository.
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// How many.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print one JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd pipeline`.
#[derive(Debug, Subcommand)]
pub(crate) enum Pipeline {
    /// Show its jobs, attempts, steps and artifacts.
    Show(PipelineShow),
}

/// `goatherd pipeline show`.
#[derive(Debug, Args)]
pub(crate) struct PipelineShow {
    /// The pipeline's id, or its beginning [default: the newest of this commit, this repository, or all].
    pub(crate) pipeline: Option<PipelineId>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The pipeline's id, or its beginning [default: the newest of this commit, this repository, or all].
    pub(crate) pipeline: Option<String>,
    /// Only this job; a lone word that is a job's name is one.
    pub(crate) job: Option<String>,
    /// Go on until the pipeline, or the job, ends, and end as it does.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the jobs that did not succeed.
    #[arg(long, conflicts_with_all = ["follow", "job"])]
    pub(crate) failed: bool,
    /// Print the events, one JSON object a line, instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The pipeline's id, or its beginning [default: the only one that runs here].
    pub(crate) pipeline: Option<PipelineId>,
    /// Only this job of it.
    pub(crate) job: Option<String>,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub(crate) why: String,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd rerun`.
#[derive(Debug, Args)]
pub(crate) struct Rerun {
    /// The pipeline's id, or its beginning [default: the newest of this commit, this repository, or all].
    pub(crate) pipeline: Option<PipelineId>,
    /// Only the jobs that did not succeed, and all that they need.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Follow the new pipeline, and end as it does.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd artifacts`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Artifacts {
    /// Get one instead of listing all.
    #[command(subcommand)]
    pub(crate) command: Option<ArtifactsCommand>,
    /// The pipeline's id, or its beginning [default: the newest of this commit, this repository, or all].
    pub(crate) pipeline: Option<String>,
    /// Only this job's; a lone word that is a job's name is one.
    pub(crate) job: Option<String>,
    /// Print one JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// What else can be done with artifacts.
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// Download an artifact and check that it is the one that the job sent.
    Get(ArtifactGet),
}

/// `goatherd artifacts get`.
#[derive(Debug, Args)]
pub(crate) struct ArtifactGet {
    /// The pipeline's id, or its beginning.
    pub(crate) pipeline: PipelineId,
    /// The job's name.
    pub(crate) job: String,
    /// The artifact's name.
    pub(crate) name: String,
    /// Where it goes; `-` for standard output [default: the artifact's file name, here].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Which server to ask.
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// `goatherd doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The folder whose disk a server or an agent would use [default: the user's state].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// How jobs would run.
    #[command(flatten)]
    pub(crate) places: Places,
}
