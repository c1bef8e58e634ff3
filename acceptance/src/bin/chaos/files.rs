//! What is on the disk and among the processes when all is over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use internal_testing::{Installation, processes};
use sha2::{Digest as _, Sha256};

use crate::ledger::Ledger;

/// How long the removal of the last places may take: the sweep comes twice in a presence term.
const REMOVAL: Duration = Duration::from_secs(30);

/// No place and no sandbox is left. The agents run.
pub(crate) fn nothing_left(installation: &Installation, ledger: &Ledger) {
    let start = Instant::now();
    loop {
        let places: Vec<PathBuf> = entries(&installation.place_root())
            .into_iter()
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| !name.to_string_lossy().starts_with('.'))
            })
            .collect();
        let sandboxes = processes::sandboxes(&installation.place_root());
        if places.is_empty() && sandboxes.is_empty() {
            return;
        }
        if start.elapsed() > REMOVAL {
            return ledger.broken(format!(
                "something is left behind: places {places:?}, sandboxes {sandboxes:?}"
            ));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Database and artifacts are whole. Nothing runs any more.
pub(crate) fn check(installation: &Installation, ledger: &Arc<Ledger>) -> anyhow::Result<()> {
    let data = installation.folder().join("server");
    let database =
        rusqlite::Connection::open(data.join("goatherd.sqlite")).context("cannot open the store")?;
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if verdict != "ok" {
        ledger.broken(format!("SQLite finds the store damaged: {verdict}"));
    }
    let foreign = database.prepare("PRAGMA foreign_key_check")?.exists([])?;
    if foreign {
        ledger.broken("the store refers to rows that are not there".to_owned());
    }
    for task in entries(&data.join("artifacts")) {
        if task.ends_with("incoming") {
            continue;
        }
        for attempt in entries(&task) {
            for file in entries(&attempt) {
                let sum = hex::encode(Sha256::digest(std::fs::read(&file)?));
                if !file.ends_with(&sum) {
                    ledger.broken(format!("{} has SHA-256 {sum}", file.display()));
                }
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().map(|entry| entry.path()).collect(),
    )
}
