//! Output and events: nothing twice, nothing out of order, nothing that was acknowledged lost.

use api::people::EventKind;
use api::runner::task::{Chunk, Content, StepEvent};
use api::{Cause, Outcome, PipelineOutcome};
use store::Refusal;

use super::bench::{AgentBench, Bench, TaskBench, chunk, end_of_step, plan};

async fn running(bench: &Bench) -> (api::PipelineId, AgentBench, TaskBench) {
    let pipeline = bench.started(plan(&[("build", &[])])).await;
    let mut agent = AgentBench::new(bench, "a");
    let claim = agent.claim().await.unwrap();
    let task = TaskBench::new(bench, &claim.attempt);
    (pipeline, agent, task)
}

fn texts(events: &[EventKind]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            EventKind::StepOutput { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn chunks_may_come_in_any_order_and_any_number_of_times() {
    let bench = Bench::new().await;
    let (pipeline, _, task) = running(&bench).await;

    assert_eq!(task.output(vec![chunk(3, "c"), chunk(2, "b")]).await, Ok(0));
    assert!(texts(&bench.events(&pipeline).await).is_empty());
    assert_eq!(task.output(vec![chunk(1, "a"), chunk(1, "a")]).await, Ok(3));
    assert_eq!(task.output(vec![chunk(2, "b"), chunk(5, "e")]).await, Ok(3));
    assert_eq!(task.output(vec![chunk(4, "d")]).await, Ok(5));

    assert_eq!(texts(&bench.events(&pipeline).await), ["a", "b", "c", "d", "e"]);
    let stored = bench
        .store
        .job_output(&task.attempt.task, None, 0, 1 << 20)
        .await
        .unwrap();
    assert_eq!(
        stored,
        [
            chunk(1, "a"),
            chunk(2, "b"),
            chunk(3, "c"),
            chunk(4, "d"),
            chunk(5, "e")
        ]
    );
}

#[tokio::test]
async fn the_first_content_of_a_number_stays() {
    let bench = Bench::new().await;
    let (pipeline, _, task) = running(&bench).await;
    task.output(vec![chunk(1, "first"), chunk(3, "third")])
        .await
        .unwrap();

    assert_eq!(
        task.output(vec![chunk(1, "other"), chunk(3, "other")]).await,
        Ok(1)
    );
    assert_eq!(task.output(vec![chunk(2, "second")]).await, Ok(3));

    assert_eq!(
        texts(&bench.events(&pipeline).await),
        ["first", "second", "third"]
    );
}

#[tokio::test]
async fn a_number_that_cannot_be_is_refused() {
    let bench = Bench::new().await;
    let (_, _, task) = running(&bench).await;

    for number in [0, u64::MAX] {
        let refused = task.output(vec![chunk(number, "x")]).await;
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn what_could_not_be_kept_keeps_its_number_and_is_counted() {
    let bench = Bench::new().await;
    let (pipeline, _, task) = running(&bench).await;
    let lost = Chunk {
        content: Content::Lost(1234),
        ..chunk(1, "")
    };

    task.output(vec![lost.clone(), lost.clone()]).await.unwrap();

    let job = bench.job(&pipeline, "build").await;
    assert_eq!(job.attempts[0].lost_bytes, 1234);
    assert_eq!(texts(&bench.events(&pipeline).await), ["[1234 bytes lost]\n"]);
    let stored = bench
        .store
        .job_output(&task.attempt.task, Some(1), 0, 10)
        .await
        .unwrap();
    assert_eq!(stored, [lost]);
}

#[tokio::test]
async fn output_is_read_on_from_where_a_reader_was() {
    let bench = Bench::new().await;
    let (_, _, task) = running(&bench).await;
    let all: Vec<_> = (1..=9).map(|number| chunk(number, "0123456789")).collect();
    task.output(all).await.unwrap();
    let numbers = |chunks: Vec<Chunk>| chunks.iter().map(|chunk| chunk.sequence).collect::<Vec<_>>();
    let id = &task.attempt.task;

    let first = bench.store.job_output(id, None, 0, 25).await.unwrap();
    let second = bench.store.job_output(id, None, 2, 1).await.unwrap();
    let rest = bench.store.job_output(id, None, 7, 1000).await.unwrap();

    assert_eq!(numbers(first), [1, 2]);
    assert_eq!(numbers(second), [3]);
    assert_eq!(numbers(rest), [8, 9]);
}

#[tokio::test]
async fn a_finish_waits_for_the_output_before_it() {
    let bench = Bench::new().await;
    let (_, _, task) = running(&bench).await;
    task.output(vec![chunk(1, "a"), chunk(3, "c")]).await.unwrap();

    assert_eq!(
        task.finish(Outcome::Succeeded, 3).await,
        Err(Refusal::OutputMissing { first: 2 })
    );
    task.output(vec![chunk(2, "b")]).await.unwrap();
    assert_eq!(task.finish(Outcome::Succeeded, 3).await, Ok(()));

    // The spool may send again what it has; what is new is too late.
    assert_eq!(task.output(vec![chunk(3, "c")]).await, Ok(3));
    assert_eq!(task.output(vec![chunk(4, "d")]).await, Err(Refusal::Gone));
}

#[tokio::test]
async fn output_behind_a_gap_is_shown_once_its_attempt_is_closed() {
    let bench = Bench::new().await;
    let (pipeline, agent, task) = running(&bench).await;
    task.output(vec![chunk(1, "a"), chunk(3, "c"), chunk(4, "d")])
        .await
        .unwrap();
    assert_eq!(texts(&bench.events(&pipeline).await), ["a"]);

    let report = bench
        .store
        .cause(agent.reporter(), &task.attempt, Some(Cause::NodeLost), true)
        .await;

    assert_eq!(report.unwrap(), Ok(()));
    assert_eq!(texts(&bench.events(&pipeline).await), ["a", "c", "d"]);
}

#[tokio::test]
async fn events_tell_the_whole_story_in_order() {
    let bench = Bench::new().await;
    let (pipeline, agent, task) = running(&bench).await;
    let store = &bench.store;
    let phase = store.phase(
        agent.reporter(),
        &task.attempt,
        api::Phase::Starting,
        "soon".to_owned(),
    );
    phase.await.unwrap().unwrap();
    task.step(0, StepEvent::Began).await.unwrap();
    task.step(0, StepEvent::Ended(end_of_step(0))).await.unwrap();
    task.step(1, StepEvent::Began).await.unwrap();
    task.step(1, StepEvent::Began).await.unwrap();
    task.output(vec![chunk(1, "made\n")]).await.unwrap();
    task.finish(Outcome::Succeeded, 1).await.unwrap();
    task.finish(Outcome::Succeeded, 1).await.unwrap();

    let events = bench.events(&pipeline).await;
    let words: Vec<String> = events.iter().map(short).collect();

    assert_eq!(
        words,
        [
            "queued",
            "started build",
            "claimed",
            "starting soon",
            "running",
            "began checkout",
            "ended checkout 0",
            "began make",
            "make: made\n",
            "ended make 0",
            "finished build succeeded",
            "pipeline succeeded"
        ]
    );
}

fn short(event: &EventKind) -> String {
    match event {
        EventKind::JobStarted { job } => format!("started {job}"),
        EventKind::JobPhase { phase, detail, .. } if phase == "starting" => format!("{phase} {detail}"),
        EventKind::JobPhase { phase, .. } => phase.clone(),
        EventKind::StepStarted { step, .. } => format!("began {step}"),
        EventKind::StepOutput { step, text, .. } => format!("{step}: {text}"),
        EventKind::StepFinished { step, exit_code, .. } => format!("ended {step} {exit_code}"),
        EventKind::JobFinished { job, outcome, .. } => format!("finished {job} {outcome}"),
        EventKind::PipelineFinished { outcome, .. } => format!("pipeline {outcome}"),
        _ => "something else".to_owned(),
    }
}

#[tokio::test]
async fn a_follower_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let bench = Bench::new().await;
    let (pipeline, _, task) = running(&bench).await;
    let mut seen = Vec::new();
    let mut cursor = 0;
    let follow = async |seen: &mut Vec<EventKind>, cursor: &mut u64| {
        loop {
            let some = bench.store.events(&pipeline, *cursor, 2).await.unwrap();
            let Some((last, _)) = some.last() else { break };
            assert!(*last > *cursor);
            *cursor = *last;
            seen.extend(some.into_iter().map(|(_, event)| event.what));
        }
    };

    for number in 1..=5_u64 {
        // Out of order in pairs.
        let other = if number % 2 == 1 { number + 1 } else { number - 1 };
        task.output(vec![chunk(other, &other.to_string())]).await.unwrap();
        follow(&mut seen, &mut cursor).await;
    }
    task.output(vec![chunk(5, "5")]).await.unwrap();
    task.finish(Outcome::Succeeded, 6).await.unwrap();
    follow(&mut seen, &mut cursor).await;

    assert_eq!(seen, bench.events(&pipeline).await);
    assert_eq!(texts(&seen), ["1", "2", "3", "4", "5", "6"]);
    let last = seen.last();
    assert!(matches!(
        last,
        Some(EventKind::PipelineFinished {
            outcome: PipelineOutcome::Succeeded,
            ..
        })
    ));
}

#[tokio::test]
async fn events_of_other_pipelines_are_not_among_them() {
    let bench = Bench::new().await;
    let one = bench.started(plan(&[("one", &[])])).await;
    let two = bench.started(plan(&[("two", &[])])).await;
    let mut agent = AgentBench::new(&bench, "a");
    for text in ["1", "2"] {
        let claim = agent.claim().await.unwrap();
        let task = TaskBench::new(&bench, &claim.attempt);
        task.output(vec![chunk(1, text)]).await.unwrap();
        task.finish(Outcome::Succeeded, 1).await.unwrap();
    }

    assert_eq!(texts(&bench.events(&one).await), ["1"]);
    assert_eq!(texts(&bench.events(&two).await), ["2"]);
}

#[tokio::test]
async fn events_with_much_output_come_in_parts_that_leave_nothing_out() {
    let bench = Bench::new().await;
    let (pipeline, _, task) = running(&bench).await;
    let text = "x".repeat(64 * 1024);
    let all = 100;
    for number in 1..=all {
        task.output(vec![chunk(number, &text)]).await.unwrap();
    }

    let (mut after, mut parts, mut seen) = (0, 0, 0);
    loop {
        let events = bench.store.events(&pipeline, after, 10_000).await.unwrap();
        let Some((last, _)) = events.last() else { break };
        after = *last;
        parts += 1;
        let what: Vec<_> = events.into_iter().map(|(_, event)| event.what).collect();
        let texts = texts(&what);
        assert!(texts.len() <= 16, "1 MiB at once");
        seen += texts.len();
    }

    assert_eq!(u64::try_from(seen).unwrap(), all);
    assert_eq!(parts, 7);
}
