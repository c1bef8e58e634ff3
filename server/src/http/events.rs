//! A pipeline's events as they happen, as server-sent events. Each carries its cursor as `id:`, and a
//! follower that comes again with `Last-Event-ID` misses nothing and gets nothing twice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::PipelineId;
use api::people::{Event, EventKind};
use axum::extract::{Path, Query, State as FromState};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;

use super::answer::{Answer, Failure};
use super::caller::Admin;
use super::{Shared, State, chain};

/// How many events are read at once.
const BATCH: u32 = 256;
/// A comment in this rhythm keeps proxies from closing a quiet stream, and shows a follower that is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// How far a follower goes.
#[derive(Debug, Deserialize)]
pub(super) struct Wait {
    /// To the pipeline's end; else to what there is now.
    #[serde(default = "yes")]
    wait: bool,
}

const fn yes() -> bool {
    true
}

/// Follows a pipeline to its end. A follower that has all of it already is answered 204, which tells it not to come
/// again. Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface>.
pub(super) async fn follow(
    FromState(shared): State,
    _admin: Admin,
    Path(id): Path<PipelineId>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
) -> Answer<Response> {
    let after = after(&headers)?;
    let Some(pipeline) = shared.store.pipeline(&id).await? else {
        return Err(Failure::not_found("there is no such pipeline"));
    };
    if pipeline.summary.outcome.is_some() && shared.store.events(&id, after, 1).await?.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let changes = shared.store.changes();
    let follower = Follower {
        shared,
        changes,
        pipeline: id,
        after,
        read: VecDeque::new(),
        wait: query.wait,
        over: false,
    };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

fn after(headers: &HeaderMap) -> Answer<u64> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(0);
    };
    let cursor = value.to_str().ok().and_then(|text| text.parse().ok());
    cursor.ok_or_else(|| Failure::invalid(format!("`{LAST_EVENT_ID}` is no cursor")))
}

struct Follower {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    pipeline: PipelineId,
    /// The cursor of the last event that was given out.
    after: u64,
    read: VecDeque<(u64, Event)>,
    /// Whether it waits for what happens later.
    wait: bool,
    over: bool,
}

impl Follower {
    /// The next event. None at the end: of the pipeline, or of the server; in the latter case the follower
    /// comes again.
    async fn next(&mut self) -> Option<sse::Event> {
        while self.read.is_empty() {
            if self.over {
                return None;
            }
            self.changes.borrow_and_update();
            match self.shared.store.events(&self.pipeline, self.after, BATCH).await {
                Ok(events) if events.is_empty() && !self.wait => return None,
                Ok(events) if events.is_empty() => self.wait().await?,
                Ok(events) => self.read = events.into(),
                Err(error) => {
                    tracing::error!(pipeline.id = %self.pipeline, error = chain(&error), "events could not be read");
                    return None;
                }
            }
        }
        let (cursor, event) = self.read.pop_front()?;
        self.after = cursor;
        self.over = matches!(event.what, EventKind::PipelineFinished { .. });
        match serde_json::to_string(&event) {
            Ok(json) => Some(sse::Event::default().id(cursor.to_string()).data(json)),
            Err(error) => {
                tracing::error!(pipeline.id = %self.pipeline, %error, "an event could not be written");
                None
            }
        }
    }

    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = self.shared.stopping.cancelled() => None,
            changed = self.changes.changed() => changed.ok(),
        }
    }
}
