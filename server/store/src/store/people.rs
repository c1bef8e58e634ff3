//! Tokens, audit, events and output: what people ask for.

use api::people::{ArtifactView, AuditEntry, Event, TokenRequest};
use api::runner::task::Chunk;
use api::{AttemptRef, PipelineId, Secret, TaskId};

use super::Store;
use crate::error::StoreError;
use crate::sqlite::{artifacts, audit, events, output, tokens};

impl Store {
    /// Makes the admin token where there is none yet: at the first start. It is shown this once; only its
    /// SHA-256 is kept.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn first_admin_token(&self) -> Result<Option<Secret>, StoreError> {
        self.write(tokens::first_admin).await
    }

    /// Whether a token is an admin's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn admin_token_is(&self, token: &Secret) -> Result<bool, StoreError> {
        let token = token.clone();
        self.read(move |sql| tokens::is_admin(sql, &token)).await
    }

    /// Makes a token for the agents of a resource class. It is shown this once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_class_token(
        &self,
        request: &TokenRequest,
        actor: &str,
    ) -> Result<Secret, StoreError> {
        let (request, actor) = (request.clone(), actor.to_owned());
        self.write(move |change| tokens::create_class(change, &request, &actor))
            .await
    }

    /// The resource class that a token is good for.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn class_of_token(&self, token: &Secret) -> Result<Option<String>, StoreError> {
        let token = token.clone();
        self.read(move |sql| tokens::class_of(sql, &token)).await
    }

    /// Up to `limit` entries of the audit log after number `after`, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(move |sql| audit::list(sql, after, limit)).await
    }

    /// Writes an entry of the audit log by itself. Never a secret.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let [actor, action, subject, detail] = [actor, action, subject, detail].map(str::to_owned);
        self.write(move |change| audit::write(change, &actor, &action, &subject, &detail))
            .await
    }

    /// Up to `limit` events of a pipeline after cursor `after`, each with its cursor, and fewer where they hold
    /// much output; none only where there are none. Output and everything else are in one order, that of the
    /// cursors, which never changes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn events(
        &self,
        pipeline: &PipelineId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        let pipeline = pipeline.clone();
        self.read(move |sql| events::list(sql, &pipeline, after, limit))
            .await
    }

    /// Stored output of a job after number `after_sequence`, up to the first gap, and until it is about
    /// `limit_bytes` (at least one chunk). Of the newest attempt where none is named.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn job_output(
        &self,
        task: &TaskId,
        attempt: Option<u32>,
        after_sequence: u64,
        limit_bytes: usize,
    ) -> Result<Vec<Chunk>, StoreError> {
        let task = task.clone();
        self.read(move |sql| output::list(sql, &task, attempt, after_sequence, limit_bytes))
            .await
    }

    /// A job's artifact of this name, with the attempt that sent it: the newest, which alone counts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn artifact(
        &self,
        task: &TaskId,
        name: &str,
    ) -> Result<Option<(AttemptRef, ArtifactView)>, StoreError> {
        let (task, name) = (task.clone(), name.to_owned());
        self.read(move |sql| artifacts::find(sql, &task, &name)).await
    }
}
