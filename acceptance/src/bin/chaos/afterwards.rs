//! A second look at each pipeline, some seconds after its end was seen, while the killing goes on: what was told stays,
//! and nothing comes late.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use api::people::PipelineView;
use api::{Outcome, PipelineId};
use client::ClientError;
use futures_util::StreamExt as _;

use crate::load::{BOUND, Load, PAUSE, Pushed};
use crate::story::Story;

/// How long after its end a pipeline is looked at again: longer than anything of it may go on by itself.
const AFTERWARDS: Duration = Duration::from_secs(3);

impl Load {
    /// The pipeline as it is shown, over all restarts of the server.
    pub(crate) async fn shown(&self, id: &PipelineId) -> anyhow::Result<PipelineView> {
        let asking = async {
            loop {
                match self.client.pipeline(id).await {
                    Err(error) if error.may_pass() => tokio::time::sleep(PAUSE).await,
                    answer => return answer,
                }
            }
        };
        within_bound(asking)
            .await
            .with_context(|| format!("accepted pipeline {id} cannot be shown"))
    }

    /// Looks again, and tells the ledger what is another than it was.
    pub(crate) async fn look_again(&self, pushed: &Pushed) -> anyhow::Result<()> {
        tokio::time::sleep(AFTERWARDS).await;
        let now = self.shown(&pushed.id).await?;
        let story = self.told(&pushed.id).await?;
        for wrong in changes(&pushed.story, &pushed.shown, &story, &now) {
            self.ledger.broken(format!(
                "pipeline {} (push {}, {:?}), {AFTERWARDS:?} after its end: {wrong}",
                pushed.id, pushed.spec.number, pushed.spec.kind
            ));
        }
        Ok(())
    }

    /// All events from the first, those after the pipeline's end too, over all restarts of the server.
    pub(crate) async fn told(&self, id: &PipelineId) -> anyhow::Result<Story> {
        let asking = async {
            loop {
                match self.story(id).await {
                    Err(error) if error.may_pass() => tokio::time::sleep(PAUSE).await,
                    answer => return answer,
                }
            }
        };
        within_bound(asking)
            .await
            .with_context(|| format!("the events of accepted pipeline {id} cannot be read"))
    }

    async fn story(&self, id: &PipelineId) -> Result<Story, ClientError> {
        let mut story = Story::new();
        {
            let mut events = pin!(self.client.events_so_far(id).await?);
            while let Some(event) = events.next().await {
                let (cursor, event) = event?;
                story.take(cursor, event);
            }
        }
        // A stream ends with the pipeline. What lies behind that has to be asked for.
        let mut late = pin!(self.client.events(id, story.cursor).await?);
        if let Some(event) = late.next().await {
            let (cursor, event) = event?;
            story.take(cursor, event);
        }
        Ok(story)
    }
}

/// What is another than when the end was seen.
pub(crate) fn changes(live: &Story, shown: &PipelineView, story: &Story, now: &PipelineView) -> Vec<String> {
    let mut wrong = Vec::new();
    if (live.count, live.digest()) != (story.count, story.digest()) {
        wrong.push(format!(
            "the {} events that were read live are not the {} that are there now",
            live.count, story.count
        ));
    }
    if let Some(text) = &story.wrong {
        wrong.push(text.clone());
    }
    if without_what_may_improve(now) != without_what_may_improve(shown) {
        wrong.push(format!("it was shown as {shown:#?} and is now {now:#?}"));
    }
    wrong
}

/// A view without the causes of attempts that an infrastructure failure ended, in jobs that were cancelled meanwhile:
/// for ten seconds a better one may come, and the job waits for none.
fn without_what_may_improve(view: &PipelineView) -> PipelineView {
    let mut view = view.clone();
    let jobs = view.jobs.iter_mut();
    for job in jobs.filter(|job| job.outcome == Some(Outcome::Cancelled)) {
        let attempts = job.attempts.iter_mut();
        for attempt in attempts.filter(|attempt| attempt.outcome == Some(Outcome::InfraFailed)) {
            attempt.cause = None;
        }
    }
    view
}

async fn within_bound<T>(asking: impl Future<Output = Result<T, ClientError>>) -> anyhow::Result<T> {
    let answer = tokio::time::timeout(BOUND, asking).await;
    Ok(answer.with_context(|| format!("the server does not answer within {BOUND:?}"))??)
}

#[cfg(test)]
mod tests {
    use api::people::{Event, EventKind};
    use api::{Cause, PipelineOutcome};

    use super::*;

    const VIEW: &str = include_str!("../../../../api/tests/golden/people-pipeline-response.json");

    fn ended() -> Story {
        let mut story = Story::new();
        let what = EventKind::PipelineFinished {
            outcome: PipelineOutcome::Succeeded,
            cause: None,
        };
        story.take(7, Event { time: 1, what });
        story
    }

    #[test]
    fn what_stays_as_it_was_is_no_change_and_what_comes_late_is() {
        let view: PipelineView = serde_json::from_str(VIEW).expect("it is a view");
        let mut late = ended();
        let what = EventKind::JobStarted {
            job: "build".to_owned(),
        };
        late.take(8, Event { time: 2, what });

        assert_eq!(changes(&ended(), &view, &ended(), &view), Vec::<String>::new());
        let wrong = changes(&ended(), &view, &late, &view).join("; ");
        assert!(wrong.contains("came after the pipeline's end"), "{wrong}");
    }

    #[test]
    fn a_view_that_changes_after_the_end_is_told() {
        let view: PipelineView = serde_json::from_str(VIEW).expect("it is a view");
        let mut now = view.clone();
        now.jobs[0].attempts.clear();

        let wrong = changes(&ended(), &view, &ended(), &now);

        assert!(wrong.len() == 1 && wrong[0].contains("is now"), "{wrong:?}");
    }

    #[test]
    fn a_better_cause_may_come_where_the_job_did_not_wait_for_it() {
        let mut view: PipelineView = serde_json::from_str(VIEW).expect("it is a view");
        let job = &mut view.jobs[0];
        let attempt = job.attempts.last_mut().expect("there is one");
        attempt.outcome = Some(Outcome::InfraFailed);
        attempt.cause = Some(Cause::AgentLost);
        let mut now = view.clone();
        let attempts = &mut now.jobs[0].attempts;
        attempts.last_mut().expect("there is one").cause = Some(Cause::TaskAgentLost { signal: Some(9) });
        let wrong = changes(&ended(), &view, &ended(), &now);
        assert_eq!(wrong.len(), 1, "the job's own cause depends on it: {wrong:?}");

        for view in [&mut view, &mut now] {
            view.jobs[0].outcome = Some(Outcome::Cancelled);
        }

        assert_eq!(changes(&ended(), &view, &ended(), &now), Vec::<String>::new());
    }
}
