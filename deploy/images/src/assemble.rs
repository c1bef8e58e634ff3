//! `images assemble`: from binaries to files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::archive;
use crate::arguments::{Assemble, Binaries, Wish};
use crate::binary::{self, Architecture, RunsOn};
use crate::blob::Blob;
use crate::image::{self, Image};
use crate::labels;
use crate::layer::Layer;
use crate::layout::Layout;
use crate::sbom::{self, Program};

/// GOAT's name in the image.
const ORCHESTRATOR: &str = "orchestrator";
/// The crate of GOAT.
const ORCHESTRATOR_CRATE: &str = "goat";
/// The task agent's name in the image, whoever wrote it: a task's own commands know it by this one.
const TASK_AGENT: &str = "circleci-agent";
/// The crate of our task agent.
const TASK_AGENT_CRATE: &str = "task-agent";

/// A task agent of the user's own.
struct Own {
    bytes: Vec<u8>,
    runs_on: RunsOn,
}

impl Own {
    fn all(paths: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        let read = paths.iter().map(|path| {
            let (bytes, runs_on) = binary::read(path)?;
            Ok(Self { bytes, runs_on })
        });
        read.collect()
    }

    /// The one for this architecture.
    fn fitting(all: &[Self], architecture: Architecture) -> anyhow::Result<Option<&Self>> {
        let mut fitting = all.iter().filter(|own| own.runs_on.includes(architecture));
        let first = fitting.next();
        let others = fitting.count();
        anyhow::ensure!(
            others == 0,
            "there are {} task agents for {architecture}",
            others + 1
        );
        Ok(first)
    }
}

const FITS_NONE: &str = "the task agent is for none of the architectures that images are made for";

/// Refuses early what [`assemble`] would refuse once all is built. There is nothing to say where it is well.
pub(crate) fn check(wish: &Wish) -> anyhow::Result<String> {
    let own = Own::all(&wish.task_agents)?;
    let architectures = if wish.only.is_empty() {
        Architecture::ALL.as_slice()
    } else {
        &wish.only
    };
    let mut fits = own.is_empty();
    for architecture in architectures {
        fits |= Own::fitting(&own, *architecture)?.is_some();
    }
    anyhow::ensure!(fits, FITS_NONE);
    Ok(String::new())
}

/// Writes what is wanted, and gives a summary for people: digests and sizes.
pub(crate) fn assemble(wanted: &Assemble) -> anyhow::Result<String> {
    let own = Own::all(&wanted.task_agents)?;
    let labels = labels::labels(wanted);
    let mut binaries = wanted.binaries.clone();
    binaries.sort_by_key(|binaries| binaries.architecture);
    let mut images = Vec::new();
    for binaries in &binaries {
        images.extend(image(wanted, binaries, &own, &labels)?);
    }
    anyhow::ensure!(!images.is_empty(), FITS_NONE);
    let index = image::index(&images, &labels)?;
    write(wanted, &images, &index)?;
    Ok(summary(wanted, &images, &index))
}

/// The image for one architecture; none where a task agent of the user's own leaves this one out.
fn image(
    wanted: &Assemble,
    binaries: &Binaries,
    own: &[Own],
    labels: &BTreeMap<String, String>,
) -> anyhow::Result<Option<Image>> {
    let architecture = binaries.architecture;
    let (agent, agent_from) = match Own::fitting(own, architecture)? {
        Some(one) => (one.bytes.clone(), wanted.task_agent_crate.as_deref()),
        None if own.is_empty() => {
            let bytes = binary::read_for(&binaries.folder.join(TASK_AGENT), architecture)?;
            (bytes, Some(TASK_AGENT_CRATE))
        }
        None => return Ok(None),
    };
    let orchestrator = binary::read_for(&binaries.folder.join(ORCHESTRATOR), architecture)?;
    let agent_workspace = wanted
        .task_agent_workspace
        .as_deref()
        .unwrap_or(&wanted.workspace);
    let agent_version = wanted.task_agent_version.as_deref();
    let programs = [
        Program {
            name: ORCHESTRATOR,
            bytes: &orchestrator,
            version: &wanted.version,
            built_from: Some((&wanted.workspace, ORCHESTRATOR_CRATE)),
        },
        Program {
            name: TASK_AGENT,
            bytes: &agent,
            version: agent_version.unwrap_or(if agent_from.is_some() {
                &wanted.version
            } else {
                "own"
            }),
            built_from: agent_from.map(|package| (agent_workspace, package)),
        },
    ];
    let time = wanted.created;
    let sbom = sbom::sbom(&wanted.name, &wanted.version, architecture, time, &programs)?;
    let layers = programs
        .iter()
        .map(|program| Layer::of_program(program.name, program.bytes, time))
        .collect::<Result<_, _>>()?;
    let image = Image::new(architecture, layers, labels, time, sbom)?;
    if let Some(limit) = wanted.limit {
        let size = image.unpacked();
        anyhow::ensure!(
            size <= limit,
            "the image for {architecture} has {size} bytes, and may have {limit}: what do the binaries link that they did not?"
        );
    }
    Ok(Some(image))
}

/// Writes all into a folder beside, which then takes the place of the old one.
fn write(wanted: &Assemble, images: &[Image], index: &Blob) -> anyhow::Result<()> {
    let mut name = wanted
        .out
        .file_name()
        .context("--out names no folder")?
        .to_owned();
    name.push(".new");
    let fresh = wanted.out.with_file_name(name);
    remove(&fresh)?;
    Layout::write(&fresh.join("oci"), images, index, &wanted.tag)?;
    for image in images {
        let file = |ending: &str| fresh.join(format!("{}-{}.{ending}", short(wanted), image.architecture));
        let tagged = format!("{}:{}", wanted.name, wanted.tag);
        archive::write(&file("docker.tar"), image, &tagged, wanted.created)?;
        let sbom = file("cdx.json");
        fs::write(&sbom, &image.sbom.contents.bytes)
            .with_context(|| format!("could not write {}", sbom.display()))?;
    }
    remove(&wanted.out)?;
    fs::rename(&fresh, &wanted.out).with_context(|| format!("could not write {}", wanted.out.display()))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The image's name without registry and folders.
fn short(wanted: &Assemble) -> &str {
    wanted.name.rsplit('/').next().unwrap_or(&wanted.name)
}

fn summary(wanted: &Assemble, images: &[Image], index: &Blob) -> String {
    let mut text = format!("{}:{}  {}\n", wanted.name, wanted.tag, index.digest());
    for image in images {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {}  {}  {} layers, {} bytes packed, {} unpacked",
            image.architecture,
            image.manifest.digest(),
            image.layers.len(),
            image.packed(),
            image.unpacked(),
        );
        for layer in &image.layers {
            let _ = writeln!(
                text,
                "         {}  {}  {} bytes packed, {} unpacked",
                layer.blob.digest(),
                layer.path,
                layer.blob.bytes.len(),
                layer.tar.len(),
            );
        }
        let _ = writeln!(
            text,
            "         {}  SBOM (CycloneDX)",
            image.sbom.manifest.digest()
        );
    }
    text
}
