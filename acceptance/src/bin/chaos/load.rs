//! The load: pushes as a provider sends them, each followed to its end by somebody who reads along.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use api::PipelineId;
use api::people::{EventKind, PipelineView};
use client::Client;
use futures_util::StreamExt as _;
use internal_testing::installation::REPOSITORY;
use internal_testing::{Provider, Repository, provider};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::kinds::Spec;
use crate::ledger::Ledger;
use crate::story::Story;

/// How many pipelines are under way at a time.
const AT_ONCE: usize = 8;
/// How long a pipeline may take: three attempts that end with their leases, behind as many of others, with room.
pub(crate) const BOUND: Duration = Duration::from_secs(240);
/// How long an answer may take before the call is made again.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause before it is made again.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// What the load needs of the installation.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) witness: u16,
    pub(crate) repository: Mutex<Repository>,
    pub(crate) provider: Provider,
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Ledger>,
}

/// A pipeline that was accepted, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) spec: Spec,
    pub(crate) id: PipelineId,
    /// When it was pushed, and when its end was seen.
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// What was read live, over all restarts of the server.
    pub(crate) story: Story,
    /// How it was shown at its end.
    pub(crate) shown: PipelineView,
    /// Whether somebody asked to cancel it.
    pub(crate) cancelled: bool,
}

impl Load {
    /// Pushes for as long as said, or until a promise is broken, and follows all to their ends.
    pub(crate) async fn drive(self: Arc<Self>, time: Duration) -> Vec<Pushed> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        let mut pushed = Vec::new();
        let end = self.ledger.now() + time;
        let mut number = 0;
        while self.ledger.now() < end && self.ledger.is_whole() {
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let this = Arc::clone(&self);
            let spec = Spec::new(self.seed, number, self.witness);
            running.spawn(async move {
                let pushed = this.one(spec).await?;
                // The next one need not wait for the second look.
                drop(place);
                this.look_again(&pushed).await?;
                Ok(pushed)
            });
            number += 1;
            while let Some(one) = running.try_join_next() {
                pushed.extend(self.keep(one));
            }
        }
        self.ledger.note("the load is over");
        while let Some(one) = running.join_next().await {
            pushed.extend(self.keep(one));
        }
        pushed.sort_by_key(|one| one.spec.number);
        pushed
    }

    fn keep(&self, one: Result<anyhow::Result<Pushed>, tokio::task::JoinError>) -> Option<Pushed> {
        match one {
            Ok(Ok(pushed)) => Some(pushed),
            Ok(Err(error)) => {
                self.ledger.broken(format!("{error:#}"));
                None
            }
            Err(error) => {
                self.ledger.broken(format!("this program failed: {error}"));
                None
            }
        }
    }

    async fn one(&self, spec: Spec) -> anyhow::Result<Pushed> {
        let number = spec.number;
        let from = self.ledger.now();
        let id = self.push(&spec).await?;
        self.ledger
            .note(&format!("pipeline {id} is push {number}, {:?}", spec.kind));
        let mut story = Story::new();
        let mut cancelled = false;
        let what = format!("pipeline {id} (push {number}, {:?})", spec.kind);
        let seen = tokio::time::timeout(BOUND, async {
            let mut following = pin!(self.follow(&id, &mut story));
            if let Some(after) = spec.cancel_after {
                tokio::select! {
                    ended = &mut following => return ended,
                    () = tokio::time::sleep(after) => {}
                }
                cancelled = true;
                let (ended, asked) = tokio::join!(following, self.cancel(&id));
                return ended.and(asked);
            }
            following.await
        })
        .await;
        match seen {
            Ok(seen) => seen.with_context(|| what)?,
            Err(_) => anyhow::bail!("{what} hangs: it has not ended within {BOUND:?}"),
        }
        let to = self.ledger.now();
        let shown = self.shown(&id).await?;
        Ok(Pushed {
            spec,
            id,
            from,
            to,
            story,
            shown,
            cancelled,
        })
    }

    /// Delivers the push until it is answered, as a provider does that delivers again: with the same id.
    async fn push(&self, spec: &Spec) -> anyhow::Result<PipelineId> {
        let commit = {
            let repository = self.repository.lock().expect("nobody panics with it");
            repository.commit(".ci.yml", &spec.config)
        };
        let body = provider::push(REPOSITORY, &commit);
        let id = provider::delivery_id();
        let pushing = async {
            loop {
                let answer = tokio::time::timeout(ANSWER, self.provider.deliver(&id, &body, None)).await;
                match answer {
                    Ok(Ok((200 | 202, answer))) => return accepted(&answer),
                    Ok(Ok((status, answer))) if status < 500 => {
                        anyhow::bail!("push {} was answered {status}: {answer}", spec.number)
                    }
                    _ => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        tokio::time::timeout(BOUND, pushing)
            .await
            .with_context(|| format!("push {} was never answered", spec.number))?
    }

    /// Reads all events to the last, over all restarts of the server.
    async fn follow(&self, id: &PipelineId, story: &mut Story) -> anyhow::Result<()> {
        loop {
            match self.client.events(id, story.cursor).await {
                Ok(events) => {
                    let mut events = pin!(events);
                    while let Some(Ok((cursor, event))) = events.next().await {
                        let last = matches!(event.what, EventKind::PipelineFinished { .. });
                        story.take(cursor, event);
                        if last {
                            return Ok(());
                        }
                    }
                }
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error).context("the events of an accepted pipeline are refused"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn cancel(&self, id: &PipelineId) -> anyhow::Result<()> {
        self.client
            .cancel_pipeline(id, "because of the dice")
            .await
            .map(drop)
            .context("a cancel is refused")
    }
}

fn accepted(answer: &str) -> anyhow::Result<PipelineId> {
    let value: serde_json::Value = serde_json::from_str(answer).context("the answer to a push is no JSON")?;
    let id = value["pipeline"]
        .as_str()
        .context("the answer to a push names no pipeline")?;
    Ok(PipelineId::new(id)?)
}
