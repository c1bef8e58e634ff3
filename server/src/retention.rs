//! Removes what is old or too much, little by little, beside everything else that the server does.

use std::time::Duration;

use api::{Millis, TaskId};
use store::{Reach, Removal, Removed, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::artifacts::Artifacts;
use crate::config::Retention;

/// How many pipelines are marked at once.
const AT_ONCE: u32 = 32;
/// The pause between two pieces: others write too.
const BREATH: Duration = Duration::from_millis(5);
/// An absence of which only a part makes anything older, because it may be a wall clock that was set wrong.
const LONG: Millis = Millis::seconds(24 * 3600);
/// After how many looks all of the artifacts' folder is looked at, for files that nobody names.
const SWEEP_EVERY: u32 = 24;
const MEBIBYTE: u64 = 1024 * 1024;

/// What removes.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    pub(crate) settings: Retention,
}

impl Keeper {
    /// Removes until it is told to stop. What it is at then is finished after the next start.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.for_ever() => {}
        }
    }

    async fn for_ever(&self) {
        let away = self.store.away();
        if away > LONG {
            tracing::warn!(
                away_days = away.0 / 86_400_000,
                "the clock says that the server was away for long, or it was set wrong: retention counts one day of it"
            );
        }
        for look in 0_u32.. {
            if let Err(error) = self.look(look % SWEEP_EVERY == 0).await {
                if matches!(error, StoreError::Closed) {
                    return;
                }
                tracing::error!(
                    error = crate::http::chain(&error),
                    "what is old could not be removed; trying again later"
                );
            }
            tokio::time::sleep(self.settings.every.duration()).await;
        }
    }

    async fn look(&self, sweep: bool) -> Result<(), StoreError> {
        // What an earlier process was at.
        self.finish().await?;
        self.store.note_presence().await?;
        let settings = &self.settings;
        for (what, age, name) in [
            (Removed::Pipeline, settings.pipelines, "pipelines"),
            (Removed::Logs, settings.logs, "logs"),
            (Removed::Artifacts, settings.artifacts, "artifacts"),
        ] {
            if let Some(age) = age {
                let before = self.store.older_than(age);
                let why = format!("{name} are kept for {}", in_words(age));
                self.remove(what, Reach::EndedBefore(before), &why).await?;
            }
        }
        let sizes = self.store.sizes().await?;
        for (what, size, most, name) in [
            (Removed::Logs, sizes.logs, settings.most_log_bytes, "logs"),
            (
                Removed::Artifacts,
                sizes.artifacts,
                settings.most_artifact_bytes,
                "artifacts",
            ),
        ] {
            if let Some(most) = most
                && size > most
            {
                let bytes = size - most;
                let why = format!("all {name} together may take {} MiB", most / MEBIBYTE);
                self.store
                    .begin_removals(what, Reach::Oldest { bytes }, u32::MAX, &why)
                    .await?;
                self.finish().await?;
            }
        }
        if let Some(age) = settings.audit {
            self.trim_audit(age).await?;
        }
        if sweep {
            for task in self.artifacts.tasks().await {
                self.sweep(&task).await?;
            }
        }
        while self.store.shrink().await? {
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }

    async fn remove(&self, what: Removed, reach: Reach, why: &str) -> Result<(), StoreError> {
        while self.store.begin_removals(what, reach, AT_ONCE, why).await? > 0 {
            self.finish().await?;
        }
        Ok(())
    }

    /// Deletes all that is marked.
    async fn finish(&self) -> Result<(), StoreError> {
        loop {
            let removals = self.store.removals(AT_ONCE).await?;
            if removals.is_empty() {
                return Ok(());
            }
            for removal in removals {
                self.delete(&removal).await?;
            }
        }
    }

    async fn delete(&self, removal: &Removal) -> Result<(), StoreError> {
        while !self.store.remove_piece(removal).await? {
            tokio::time::sleep(BREATH).await;
        }
        // Files go last: while a row names one, it is there.
        if removal.what != Removed::Logs {
            for task in &removal.tasks {
                self.sweep(task).await?;
            }
        }
        tracing::debug!(pipeline.id = %removal.pipeline, what = ?removal.what, "removed");
        Ok(())
    }

    /// Removes the files of a job that nobody names: of removed artifacts, and of uploads that came too late.
    async fn sweep(&self, task: &TaskId) -> Result<(), StoreError> {
        if let Some(kept) = self.store.kept_artifacts(task).await?
            && let Err(error) = self.artifacts.keep_only(task, kept).await
        {
            tracing::warn!(task.id = %task, %error, "artifacts that nobody names could not be removed");
        }
        Ok(())
    }

    async fn trim_audit(&self, age: Millis) -> Result<(), StoreError> {
        let before = self.store.older_than(age);
        let mut gone = 0;
        loop {
            match self.store.trim_audit(before).await? {
                0 => break,
                piece => gone += piece,
            }
            tokio::time::sleep(BREATH).await;
        }
        if gone > 0 {
            let detail = format!("{gone} entries: the audit log is kept for {}", in_words(age));
            self.store
                .record("server", "retention.audit", "", &detail)
                .await?;
        }
        Ok(())
    }
}

/// A duration in the largest unit that fits.
fn in_words(duration: Millis) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    UNITS
        .iter()
        .find(|(unit, _)| duration.0 >= *unit && duration.0.is_multiple_of(*unit))
        .map_or_else(
            || format!("{}ms", duration.0),
            |(unit, name)| format!("{}{name}", duration.0 / unit),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_write_them() {
        for (milliseconds, text) in [
            (30 * 86_400_000, "30d"),
            (36 * 3_600_000, "36h"),
            (5_400_000, "90m"),
            (1500, "1500ms"),
        ] {
            assert_eq!(in_words(Millis(milliseconds)), text);
        }
    }
}
