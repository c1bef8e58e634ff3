//! Making a place's folder, up to the moment where its sandbox can be started.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use api::goat::GoatConfig;

use super::LocalSettings;
use super::folder::{Folder, Layout, Spec};
use super::isolation::{self, Binaries, Kind, Making};
use super::lock::Lock;
use super::user::{self, Ids};
use super::{Linger, removal};
use crate::Order;

/// Who has a place that somebody wants to make.
#[derive(Debug)]
pub(super) enum Claim {
    /// The caller, who holds its lock now; whatever was half made there is gone.
    Ours(Lock),
    /// It was started before, and runs or has ended.
    Started,
    /// Somebody else makes or removes it right now.
    Busy,
}

/// Takes a place to make it, unless it is there.
pub(super) fn claim(folder: &Folder) -> io::Result<Claim> {
    make_folder(folder.path(), 0o700).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    })?;
    let lock = match Lock::try_take(&folder.lock()) {
        Ok(lock) => lock,
        // It was removed just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Claim::Busy),
        Err(error) => return Err(error),
    };
    if folder.has_started()? {
        return Ok(Claim::Started);
    }
    match lock {
        None => Ok(Claim::Busy),
        Some(lock) => {
            removal::empty(folder)?;
            Ok(Claim::Ours(lock))
        }
    }
}

/// Fills the folder of a place whose lock the caller holds.
pub(super) fn make(
    settings: &LocalSettings,
    making: &Making,
    linger: Linger,
    folder: &Folder,
    order: &Order,
) -> io::Result<()> {
    folder.write_labels(&order.labels)?;
    let layout = folder.layout(making.kind);
    let ids = user::choose(&settings.place_root, &folder.join("home"), making.users)?;
    if making.kind == Kind::Plain && ids.assigned {
        // The task goes through it to what is its own.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    }
    for (name, mode) in [("home", 0o755), ("goat", 0o700), ("tmp", 0o1777)] {
        let path = folder.join(name);
        if name != "home" {
            make_folder(&path, mode)?;
        }
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        give(&path, ids)?;
    }
    make_folder(&folder.join("mount"), 0o755)?;
    make_folder(&folder.join("mount/root"), 0o755)?;
    if making.binaries == Binaries::Copied {
        install(settings, folder, &layout)?;
    }
    write_configuration(folder, &layout, order, ids)?;
    let mut log = folder.open_log()?;
    for notice in notices(order) {
        writeln!(log, "goatherd: {notice}")?;
    }
    if let Some(warning) = &making.warning {
        writeln!(log, "goatherd: warning: {warning}")?;
    }
    let is_plain = making.kind == Kind::Plain;
    folder.write_spec(&Spec {
        name: host_name(&order.labels.attempt.to_string()),
        kind: making.kind,
        ids,
        user: (is_plain && !ids.assigned).then(user::own_name).flatten(),
        mark: is_plain.then(|| isolation::mark(folder.path())),
        binaries: (making.binaries == Binaries::Shown).then(|| settings.bin_dir.clone()),
        expose: settings.expose.clone(),
        environment: settings.environment.clone(),
        arguments: arguments(order),
        linger: linger.0,
    })
}

/// What a job finds here in another way than one may expect of a container, for its user to see.
pub(super) fn notices(order: &Order) -> Vec<String> {
    let network = "the job shares the host's network, loopback and abstract sockets included".to_owned();
    let image = order.image.as_ref().map(|image| {
        format!("image `{image}` is not used: the local driver runs tasks on the host's own programs")
    });
    std::iter::once(network).chain(image).collect()
}

fn arguments(order: &Order) -> Vec<String> {
    let terms = &order.terms;
    // The task agent gives its steps the whole grace when the job is cancelled, and then has a record to send. The
    // rest of the slack is GOAT's, for its own last words.
    let grace = terms.grace.0.saturating_add(terms.slack.0 / 5);
    vec![
        "orchestrator".to_owned(),
        "run-task".to_owned(),
        "--health-check-addr=127.0.0.1:0".to_owned(),
        format!("--termination-grace-period={grace}ms"),
        format!("--shutdown-delay={}ms", terms.shutdown_delay.0),
    ]
}

/// GOAT reads it once and removes it.
fn write_configuration(folder: &Folder, layout: &Layout, order: &Order, ids: Ids) -> io::Result<()> {
    let attempt = &order.labels.attempt;
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| io::Error::other(format!("{} is no text", path.display())))
    };
    let configuration = GoatConfig {
        task_id: attempt.task.to_string(),
        token: Some(order.token.clone()),
        task_agent_path: text(&layout.bin.join("circleci-agent"))?,
        runner_api_base_url: order.runner_api_url.clone(),
        allocation: attempt.to_string(),
        max_run_time: i64::try_from(order.time_limit.duration().as_nanos()).unwrap_or(i64::MAX),
        notify_task_agent: true,
        share_instance: true,
        termination_message_path: text(&layout.termination())?,
        ..GoatConfig::default()
    };
    let path = folder.join("goat/config.json");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(&serde_json::to_vec(&configuration)?)?;
    give(&path, ids)
}

fn install(settings: &LocalSettings, folder: &Folder, layout: &Layout) -> io::Result<()> {
    let bin = folder.join("bin");
    make_folder(&bin, 0o755)?;
    init::install_as(&settings.bin_dir, &bin, &layout.bin).map_err(|error| {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        match source {
            Some(source) => io::Error::new(source.kind(), format!("{error}: {source}")),
            None => io::Error::other(error),
        }
    })?;
    for name in init::BINARIES {
        // Built under a narrow umask they would be the driver's user's alone.
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn give(path: &Path, ids: Ids) -> io::Result<()> {
    if ids.assigned {
        chown(path, Some(ids.uid), Some(ids.gid))
    } else {
        Ok(())
    }
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)
}

/// A host name may hold letters, digits and `-`, 63 of them (`hostname(7)`).
fn host_name(attempt: &str) -> String {
    let name: String = attempt
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .collect();
    // The end holds what tells attempts apart.
    let from = name.len().saturating_sub(63);
    let name = name[from..].trim_start_matches('-');
    if name.is_empty() {
        "task".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_makes_a_valid_host_name() {
        assert_eq!(host_name("t_1-a.2"), "t-1-a-2");
        assert_eq!(host_name(&format!("{}.7", "x".repeat(128))).len(), 63);
        assert!(host_name(&format!("{}.7", "x".repeat(128))).ends_with("x-7"));
        assert_eq!(host_name("-_."), "task");
    }
}
