//! The inbox: webhook deliveries, each taken once.

use api::PipelineId;
use rusqlite::{OptionalExtension, params};

use super::change::Change;
use super::{audit, pipelines};
use crate::error::StoreError;
use crate::input::{Accepted, Delivery, NewPipeline};

/// Stores a delivery with the pipeline that it asks for, or says that it was here before.
pub(crate) fn accept(
    change: &mut Change<'_>,
    delivery: &Delivery,
    pipeline: Option<&NewPipeline>,
) -> Result<Accepted, StoreError> {
    if let Some(before) = repeated(change, delivery)? {
        return Ok(Accepted::Repeated(before));
    }
    let actor = format!("webhook {}", delivery.hook);
    let pipeline = pipeline.map(|new| pipelines::create(change, new)).transpose()?;
    change
        .sql
        .prepare_cached(
            "INSERT INTO deliveries (hook, id, body_sha256, event, body, received, pipeline)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT number FROM pipelines WHERE id = ?7))",
        )?
        .execute(params![
            delivery.hook,
            delivery.id,
            delivery.body_sha256,
            delivery.event,
            delivery.body,
            change.now.0,
            pipeline.as_ref().map(PipelineId::as_str),
        ])?;
    let subject = pipeline.as_ref().map_or("", PipelineId::as_str);
    let detail = format!("{} {}", delivery.event, delivery.id);
    audit::write(change, &actor, "webhook.accepted", subject, &detail)?;
    Ok(Accepted::New(pipeline))
}

/// The pipeline of a delivery with the same id or the same body; the one of the same id first.
fn repeated(change: &Change<'_>, delivery: &Delivery) -> Result<Option<Option<PipelineId>>, StoreError> {
    let found: Option<Option<String>> = change
        .sql
        .prepare_cached(
            "SELECT pipelines.id FROM deliveries LEFT JOIN pipelines ON pipelines.number = deliveries.pipeline
             WHERE hook = ?1 AND (deliveries.id = ?2 OR body_sha256 = ?3)
             ORDER BY deliveries.id = ?2 DESC LIMIT 1",
        )?
        .query_row(params![delivery.hook, delivery.id, delivery.body_sha256], |row| row.get(0))
        .optional()?;
    let Some(pipeline) = found else { return Ok(None) };
    let pipeline = pipeline
        .map(|id| PipelineId::new(id).map_err(|error| StoreError::unreadable("a pipeline id", error)))
        .transpose()?;
    Ok(Some(pipeline))
}
