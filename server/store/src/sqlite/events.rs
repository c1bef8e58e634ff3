//! Events: everything that happened in a pipeline, in one order with its output.

use std::collections::HashMap;

use api::PipelineId;
use api::people::{Event, EventKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change::Change;
use super::column::{clamped, from_json, to_json, wire_time};
use super::output;
use super::retention::NOT_LEAVING;
use crate::error::StoreError;

/// Adds an event to a pipeline's.
pub(super) fn emit(change: &mut Change<'_>, pipeline: i64, what: &EventKind) -> Result<(), StoreError> {
    let cursor = change.memory.take_cursor();
    change
        .sql
        .prepare_cached("INSERT INTO events (cursor, pipeline, time, event) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![cursor, pipeline, wire_time(change.now), to_json(what)?])?;
    Ok(())
}

/// A row of either table, as the merged query gives it.
struct Merged {
    cursor: u64,
    time: i64,
    event: Option<String>,
    chunk: Option<(i64, output::Row)>,
}

impl Merged {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let event: Option<String> = row.get(2)?;
        let chunk = if event.is_none() {
            Some((row.get(3)?, output::Row::read(row, 4)?))
        } else {
            None
        };
        Ok(Self {
            cursor: row.get(0)?,
            time: row.get(1)?,
            event,
            chunk,
        })
    }
}

/// Once the output among the events that are read at once is this long, no more are.
const OUTPUT: usize = 1024 * 1024;

/// Events after a cursor: `limit` at most, and fewer where they hold much output.
pub(crate) fn list(
    sql: &Connection,
    pipeline: &PipelineId,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, Event)>, StoreError> {
    let found: Option<(i64, bool)> = sql
        .prepare_cached(&format!(
            "SELECT number, logs_removed IS NULL FROM pipelines WHERE id = ?1 AND {NOT_LEAVING}"
        ))?
        .query_row([pipeline.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, has_output)) = found else {
        return Ok(Vec::new());
    };
    let mut statement = sql.prepare_cached(
        "SELECT cursor, time, event, NULL, NULL, NULL, NULL, NULL FROM events
         WHERE pipeline = ?1 AND cursor > ?2
         UNION ALL
         SELECT output.cursor, time, NULL, position, step, stream, bytes, output.lost FROM output
         JOIN attempts ON attempts.row = output.attempt
         WHERE ?4 AND output.pipeline = ?1 AND output.cursor > ?2
         ORDER BY 1 LIMIT ?3",
    )?;
    let rows = statement.query_map(params![number, clamped(after), limit, has_output], Merged::read)?;
    let mut names = Names::new(sql, number);
    let mut events = Vec::new();
    let mut output = 0;
    for row in rows {
        let row = row?;
        let what = match (row.event, row.chunk) {
            (Some(event), _) => from_json(&event)?,
            (None, Some((position, chunk))) => {
                output += chunk.length();
                names.output(position, chunk)?
            }
            (None, None) => continue,
        };
        let time = row.time;
        events.push((row.cursor, Event { time, what }));
        if output >= OUTPUT {
            break;
        }
    }
    Ok(events)
}

/// Names of jobs and steps, read when they are first needed.
struct Names<'a> {
    sql: &'a Connection,
    pipeline: i64,
    jobs: HashMap<i64, (String, Vec<String>)>,
}

impl<'a> Names<'a> {
    fn new(sql: &'a Connection, pipeline: i64) -> Self {
        Self {
            sql,
            pipeline,
            jobs: HashMap::new(),
        }
    }

    fn output(&mut self, position: i64, chunk: output::Row) -> Result<EventKind, StoreError> {
        if !self.jobs.contains_key(&position) {
            let (name, steps): (String, String) = self
                .sql
                .prepare_cached("SELECT name, step_names FROM jobs WHERE pipeline = ?1 AND position = ?2")?
                .query_row(params![self.pipeline, position], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            self.jobs.insert(position, (name, from_json(&steps)?));
        }
        let (job, steps) = &self.jobs[&position];
        Ok(EventKind::StepOutput {
            job: job.clone(),
            step: step_name(steps.iter().map(String::as_str), chunk.step),
            stream: chunk.stream()?,
            text: chunk.text(),
        })
    }
}

/// The name of a step; its number where an agent speaks of a step that the plan does not have.
pub(super) fn step_name<'a>(mut names: impl Iterator<Item = &'a str>, step: u32) -> String {
    let place = usize::try_from(step).unwrap_or(usize::MAX);
    names
        .nth(place)
        .map_or_else(|| format!("step {step}"), str::to_owned)
}
