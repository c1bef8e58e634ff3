//! Whether the driver can be used here, looked at before it is.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::folder::inside;
use super::isolation::Binaries;
use super::refusal::Refusal;
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
///
/// # Errors
/// [`DriverError::Unusable`] with a sentence that says what is wrong with it.
pub fn may_be_exposed(path: &Path) -> Result<(), DriverError> {
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

/// Whether the paths of plain places can be told to GOAT, which separates words by spaces, and to the tasks.
pub(super) fn may_be_plain(root: &Path) -> Result<(), DriverError> {
    let shown = root.display();
    let is_plain = root
        .to_str()
        .is_some_and(|path| !path.contains(|character: char| character.is_whitespace() || character == ':'));
    if is_plain {
        Ok(())
    } else {
        Err(unusable(format!(
            "without namespaces jobs run below the place root, and {shown} has a character in it that paths in \
             `PATH` cannot have: name another with --place-root"
        )))
    }
}

/// Lets tasks that are users of their own come to their places.
pub(super) fn open_to_tasks(root: &Path) -> Result<(), DriverError> {
    let shown = root.display();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o711)).map_err(|error| {
        unusable(format!(
            "the place root {shown} cannot be opened to jobs: {error}"
        ))
    })?;
    let mut closed = Vec::new();
    for folder in root.ancestors() {
        let status = folder
            .metadata()
            .map_err(|error| unusable(format!("{} cannot be read: {error}", folder.display())))?;
        if status.mode() & 0o001 == 0 {
            closed.push(folder.display().to_string());
        }
    }
    if closed.is_empty() {
        return Ok(());
    }
    Err(unusable(format!(
        "without namespaces each job of root is a user of its own, who cannot get to the place root {shown}: \
         `chmod o+x {}`, or name another with --place-root",
        closed.join(" ")
    )))
}

/// Tries what a sandbox needs.
pub(super) fn probe(settings: &LocalSettings) -> Result<Result<Binaries, Refusal>, DriverError> {
    let program = settings.sandbox_program.display();
    let output = Command::new(&settings.sandbox_program)
        .arg("sandbox")
        .arg("--probe")
        .arg(&settings.place_root)
        .arg("--bin")
        .arg(&settings.bin_dir)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(format!("{program} cannot be executed: {error}")))?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Report::Possible { binaries }) => Ok(Ok(binaries)),
        Ok(Report::Refused { message, by_host }) => Ok(Err(Refusal { message, by_host })),
        Ok(Report::Started) | Err(_) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(unusable(format!(
                "`{program} sandbox` does not work: {}",
                words.trim()
            )))
        }
    }
}
