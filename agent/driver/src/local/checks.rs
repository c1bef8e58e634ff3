//! Whether the driver can be used here, looked at before it is.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::folder::inside;
use super::sandbox::Report;
use super::{LocalSettings, unusable};
use crate::DriverError;

pub(super) fn own_place_root(root: &Path) -> Result<PathBuf, DriverError> {
    let shown = root.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|error| unusable(format!("the place root {shown} cannot be made: {error}")))?;
    let root = root
        .canonicalize()
        .map_err(|error| unusable(format!("the place root {shown} cannot be reached: {error}")))?;
    let status = root
        .metadata()
        .map_err(|error| unusable(format!("the place root {shown} cannot be read: {error}")))?;
    let user = nix::unistd::geteuid().as_raw();
    if status.uid() != user {
        let owner = status.uid();
        return Err(unusable(format!(
            "the place root {shown} belongs to user {owner} and this is user {user}: each user needs one of its own"
        )));
    }
    if status.mode() & 0o022 != 0 {
        return Err(unusable(format!(
            "other users may write into the place root {shown}: `chmod go-w` it, or name another folder"
        )));
    }
    Ok(root)
}

/// Whether a path can be shown without hiding what a task needs.
pub(super) fn may_be_exposed(path: &Path) -> Result<(), DriverError> {
    let own = [
        inside::BIN,
        inside::GOAT,
        inside::HOME,
        inside::TMP,
        "/dev/null",
        "/etc/group",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/passwd",
        "/etc/resolv.conf",
        "/proc",
    ];
    let shown = path.display();
    let is_plain = path.is_absolute()
        && path
            .components()
            .all(|part| !matches!(part, Component::ParentDir));
    if !is_plain {
        return Err(unusable(format!(
            "{shown} cannot be exposed: name it from / on and without `..`"
        )));
    }
    if let Some(hidden) = own.iter().find(|own| Path::new(own).starts_with(path)) {
        return Err(unusable(format!(
            "{shown} cannot be exposed, because it would hide the task's own {hidden}: name what is needed in it"
        )));
    }
    let within = [
        inside::BIN,
        inside::GOAT,
        inside::HOME,
        "/dev/pts",
        "/dev/shm",
        "/proc",
    ];
    if let Some(own) = within.iter().find(|own| path.starts_with(own)) {
        return Err(unusable(format!(
            "{shown} cannot be exposed: {own} is the task's own"
        )));
    }
    Ok(())
}

/// Tries what a sandbox needs.
pub(super) fn probe(settings: &LocalSettings) -> Result<(), DriverError> {
    let program = settings.sandbox_program.display();
    let output = Command::new(&settings.sandbox_program)
        .arg("sandbox")
        .arg("--probe")
        .arg(&settings.place_root)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(format!("{program} cannot be executed: {error}")))?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Report::Started) => Ok(()),
        Ok(Report::Refused { message }) => Err(unusable(message)),
        Err(_) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(unusable(format!(
                "`{program} sandbox` does not work: {}",
                words.trim()
            )))
        }
    }
}
