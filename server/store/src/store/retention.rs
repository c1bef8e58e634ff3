//! Removing what is old or too much.

use api::TaskId;
use queue::Time;

use super::Store;
use crate::error::StoreError;
use crate::input::{Kept, Reach, Removal, Removed, Sizes};
use crate::sqlite::{meta, retention};

impl Store {
    /// Marks what is to be removed of up to `limit` pipelines that have ended, oldest first: from now on it counts
    /// as gone. Answers of how many; [`removals`](Self::removals) lists them. `why` is for people.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_removals(
        &self,
        what: Removed,
        reach: Reach,
        limit: u32,
        why: &str,
    ) -> Result<u32, StoreError> {
        let why = why.to_owned();
        self.write(move |change| retention::begin(change, what, reach, limit, &why))
            .await
    }

    /// What is marked and not yet gone, also from before a restart.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn removals(&self, limit: u32) -> Result<Vec<Removal>, StoreError> {
        self.read(move |sql| retention::list(sql, limit)).await
    }

    /// Deletes a piece of what is marked, small enough that others do not wait. Answers whether it was the last.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_piece(&self, removal: &Removal) -> Result<bool, StoreError> {
        let removal = removal.clone();
        self.write(move |change| retention::go_on(change, &removal)).await
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sizes(&self) -> Result<Sizes, StoreError> {
        let (logs, artifacts) = self.read(retention::sizes).await?;
        Ok(Sizes { logs, artifacts })
    }

    /// Deletes a piece of the audit log from before a time. Answers how many entries went; none when all are gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn trim_audit(&self, before: Time) -> Result<usize, StoreError> {
        self.write(move |change| retention::trim_audit(change, before))
            .await
    }

    /// Gives some of the file's free space back to the disk. Answers whether there is more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shrink(&self) -> Result<bool, StoreError> {
        self.write(retention::shrink).await
    }

    /// Notes that the store is open still, where nothing else writes: so that this time is no absence after a kill.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note_presence(&self) -> Result<(), StoreError> {
        self.write(|change| meta::set_open(change.sql)).await
    }

    /// When retention removed a job's log, or its artifacts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn removed(&self, task: &TaskId, what: Removed) -> Result<Option<Time>, StoreError> {
        let task = task.clone();
        self.read(move |sql| retention::when(sql, &task, what)).await
    }

    /// The artifacts of a job that are still named, as attempt and SHA-256: whatever else lies on disk of it is
    /// nobody's. None while its pipeline has not ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn kept_artifacts(&self, task: &TaskId) -> Result<Option<Kept>, StoreError> {
        let task = task.clone();
        self.read(move |sql| retention::kept(sql, &task)).await
    }
}
