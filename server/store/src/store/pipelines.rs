//! Pipelines: the inbox, plans, lists, cancels.

use api::people::{Cancelled, PipelineSummary, PipelineView};
use api::runner::presence::CancelOrder;
use api::{Cause, Outcome, PipelineId, PipelineOutcome, Plan, TaskId};

use super::Store;
use crate::error::StoreError;
use crate::input::{Accepted, Again, Delivery, NewPipeline, Rerun, Uncompiled, Which};
use crate::sqlite::{inbox, pipelines, rerun, views};

impl Store {
    /// Stores a delivery, and the pipeline that it asks for, at once. A delivery of the same id, or with the
    /// same body, changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accept_delivery(
        &self,
        delivery: Delivery,
        pipeline: Option<NewPipeline>,
    ) -> Result<Accepted, StoreError> {
        self.write(move |change| inbox::accept(change, &delivery, pipeline.as_ref()))
            .await
    }

    /// Makes a pipeline that no delivery asked for.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_pipeline(&self, pipeline: NewPipeline) -> Result<PipelineId, StoreError> {
        self.write(move |change| pipelines::create(change, &pipeline))
            .await
    }

    /// The pipelines that have no plan yet, oldest first: after a start the server goes on with these.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn uncompiled(&self) -> Result<Vec<Uncompiled>, StoreError> {
        self.read(pipelines::uncompiled).await
    }

    /// Gives a pipeline its plan and queues what is ready. Changes nothing where it has one, or has ended.
    ///
    /// # Errors
    /// [`StoreError::NoPipeline`], [`StoreError::Plan`], or when the store fails.
    pub async fn start_pipeline(&self, pipeline: &PipelineId, plan: Plan) -> Result<(), StoreError> {
        let pipeline = pipeline.clone();
        self.write(move |change| pipelines::start(change, &pipeline, &plan))
            .await
    }

    /// Ends a pipeline that gets no plan. Changes nothing where it has one, or has ended.
    ///
    /// # Errors
    /// [`StoreError::NoPipeline`], or when the store fails.
    pub async fn fail_pipeline(&self, pipeline: &PipelineId, cause: Cause) -> Result<(), StoreError> {
        let pipeline = pipeline.clone();
        self.write(move |change| pipelines::fail(change, &pipeline, &cause))
            .await
    }

    /// The newest pipelines, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pipelines(&self, limit: u32) -> Result<Vec<PipelineSummary>, StoreError> {
        self.pipelines_which(Which::default(), limit).await
    }

    /// The newest of these pipelines, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pipelines_which(
        &self,
        which: Which,
        limit: u32,
    ) -> Result<Vec<PipelineSummary>, StoreError> {
        self.read(move |sql| views::pipelines(sql, &which, limit)).await
    }

    /// Makes a pipeline of the same commit as another one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rerun(&self, pipeline: &PipelineId, again: Again, actor: &str) -> Result<Rerun, StoreError> {
        let (pipeline, actor) = (pipeline.clone(), actor.to_owned());
        self.write(move |change| rerun::rerun(change, &pipeline, again, &actor))
            .await
    }

    /// A pipeline with its jobs.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pipeline(&self, pipeline: &PipelineId) -> Result<Option<PipelineView>, StoreError> {
        let pipeline = pipeline.clone();
        self.read(move |sql| views::pipeline(sql, &pipeline)).await
    }

    /// The pipeline that a task belongs to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pipeline_of(&self, task: &TaskId) -> Result<Option<PipelineId>, StoreError> {
        let task = task.clone();
        self.read(move |sql| views::pipeline_of(sql, &task)).await
    }

    /// Cancels all of a pipeline that has not ended; one that has stays as it is. None where there is none of that id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel_pipeline(
        &self,
        pipeline: &PipelineId,
        order: CancelOrder,
    ) -> Result<Option<Cancelled<PipelineOutcome>>, StoreError> {
        let pipeline = pipeline.clone();
        self.write(move |change| pipelines::cancel(change, &pipeline, &order))
            .await
    }

    /// Cancels a job that has not ended; one that has stays as it is. None where there is none of that id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel_job(
        &self,
        task: &TaskId,
        order: CancelOrder,
    ) -> Result<Option<Cancelled<Outcome>>, StoreError> {
        let task = task.clone();
        self.write(move |change| pipelines::cancel_job(change, &task, &order))
            .await
    }
}
