//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use crate::binary::Architecture;
use crate::registry::Reference;

/// Assembles the images that ship, and pushes them. `./do images` calls it with all it needs.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Writes an image as OCI layout and, for each architecture, as docker-archive and SBOM.
    Assemble(Box<Assemble>),
    /// Pushes an image and its SBOMs from an OCI layout to a registry.
    Push {
        /// The folder of the OCI layout.
        layout: PathBuf,
        /// Where to: `REGISTRY/REPOSITORY:TAG`.
        reference: Reference,
    },
    /// Checks what `./do images` is asked for, before anything is built.
    Check(Wish),
    /// Checks a list of pinned task agents, and prints `VERSION REVISION` of each.
    Pins {
        /// The list, in TOML.
        list: PathBuf,
    },
}

/// What `./do images` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Wish {
    /// An architecture of the images; all of ours where none is named.
    #[arg(long, value_name = "ARCHITECTURE")]
    pub(crate) only: Vec<Architecture>,
    /// Another task agent.
    #[arg(long = "task-agent", value_name = "PATH")]
    pub(crate) task_agents: Vec<PathBuf>,
    /// Where to push to.
    #[arg(long, value_name = "REGISTRY/REPOSITORY:TAG")]
    pub(crate) push: Option<Reference>,
    /// Whether to build twice.
    #[arg(long)]
    pub(crate) verify: bool,
}

/// What to put together.
#[derive(Debug, clap::Args)]
pub(crate) struct Assemble {
    /// The image's name, such as `goatherd/runner-init`.
    #[arg(long)]
    pub(crate) name: String,
    /// The image's tag.
    #[arg(long)]
    pub(crate) tag: String,
    /// The version in its labels.
    #[arg(long)]
    pub(crate) version: String,
    /// The commit that it is built from.
    #[arg(long)]
    pub(crate) revision: String,
    /// The time of that commit, in seconds since 1970: the time of all there is in the image.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) created: u64,
    /// Where the source is, as a URL, for the labels.
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// The folder with `orchestrator` and `circleci-agent` for an architecture (`amd64=FOLDER`, `arm64=FOLDER`).
    #[arg(long = "binaries", value_name = "ARCHITECTURE=FOLDER", required = true)]
    pub(crate) binaries: Vec<Binaries>,
    /// Another task agent than that of the folder. Its architecture is read from it; a script is put into all
    /// images. Architectures for which there is none are left out.
    #[arg(long = "task-agent", value_name = "PATH")]
    pub(crate) task_agents: Vec<PathBuf>,
    /// The task agent's version, where it is not that of the image.
    #[arg(long, value_name = "VERSION")]
    pub(crate) task_agent_version: Option<String>,
    /// The crate of this or the task agent's workspace that `--task-agent` is built from, for the SBOM.
    #[arg(long, value_name = "CRATE")]
    pub(crate) task_agent_crate: Option<String>,
    /// The workspace that the task agent is built from, for the SBOM.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) task_agent_workspace: Option<PathBuf>,
    /// The workspace that the binaries are built from, for the SBOM.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) workspace: PathBuf,
    /// The most bytes that the image may have for one architecture, unpacked.
    #[arg(long, value_name = "BYTES")]
    pub(crate) limit: Option<u64>,
    /// The folder to write to; it is made anew.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
}

/// The binaries for one architecture.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) architecture: Architecture,
    pub(crate) folder: PathBuf,
}

impl FromStr for Binaries {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (architecture, folder) = text
            .split_once('=')
            .ok_or("it is ARCHITECTURE=FOLDER, such as amd64=target/images/bin/amd64")?;
        Ok(Self {
            architecture: architecture.parse()?,
            folder: folder.into(),
        })
    }
}
