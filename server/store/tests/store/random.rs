//! Whatever is called in whatever order: what is in the files is what the store says, and a store that is
//! opened after a kill goes on as the other one would.

use api::people::{AuditEntry, Event, PipelineView};
use api::runner::presence::CancelOrder;
use api::runner::task::{Chunk, StepEvent};
use api::{AttemptRef, Cause, Outcome, PipelineId};
use proptest::prelude::*;
use store::{Reporter, Uncompiled};

use super::bench::{AgentBench, Bench, CLASS, TaskBench, chunk, end_of_step, new_pipeline, plan};

#[derive(Debug, Clone)]
enum Act {
    Create,
    Start(usize),
    FailPipeline(usize),
    CancelPipeline(usize),
    CancelJob(usize),
    Claim { agent: usize },
    Repeat { agent: usize },
    Presence { agent: usize },
    Fetch { attempt: usize, instance: usize },
    Step { attempt: usize, step: u32, ended: bool },
    Output { attempt: usize, sequence: u64 },
    Artifact { attempt: usize },
    Unclaim { attempt: usize, agent: usize },
    PlaceRemoved { attempt: usize, agent: usize },
    Fail { attempt: usize },
    Finish { attempt: usize, failed: bool, last: u64 },
    Gone { agent: usize },
    Tick,
    Restart,
    Kill,
}

fn act() -> impl Strategy<Value = Act> {
    let some = 0..6_usize;
    let agent = 0..2_usize;
    prop_oneof![
        2 => Just(Act::Create),
        4 => some.clone().prop_map(Act::Start),
        1 => some.clone().prop_map(Act::FailPipeline),
        1 => some.clone().prop_map(Act::CancelPipeline),
        1 => some.clone().prop_map(Act::CancelJob),
        8 => agent.clone().prop_map(|agent| Act::Claim { agent }),
        2 => agent.clone().prop_map(|agent| Act::Repeat { agent }),
        2 => agent.clone().prop_map(|agent| Act::Presence { agent }),
        3 => (some.clone(), 0..2_usize).prop_map(|(attempt, instance)| Act::Fetch { attempt, instance }),
        4 => (some.clone(), 0..3_u32, any::<bool>())
            .prop_map(|(attempt, step, ended)| Act::Step { attempt, step, ended }),
        6 => (some.clone(), 1..5_u64).prop_map(|(attempt, sequence)| Act::Output { attempt, sequence }),
        1 => some.clone().prop_map(|attempt| Act::Artifact { attempt }),
        1 => (some.clone(), agent.clone()).prop_map(|(attempt, agent)| Act::Unclaim { attempt, agent }),
        2 => (some.clone(), agent.clone()).prop_map(|(attempt, agent)| Act::PlaceRemoved { attempt, agent }),
        1 => some.clone().prop_map(|attempt| Act::Fail { attempt }),
        4 => (some, any::<bool>(), 0..4_u64)
            .prop_map(|(attempt, failed, last)| Act::Finish { attempt, failed, last }),
        1 => agent.prop_map(|agent| Act::Gone { agent }),
        1 => Just(Act::Tick),
        1 => Just(Act::Restart),
        1 => Just(Act::Kill),
    ]
}

/// Everything that people can see.
#[derive(Debug, PartialEq)]
struct Seen {
    pipelines: Vec<(PipelineView, Vec<(u64, Event)>)>,
    output: Vec<Vec<Chunk>>,
    uncompiled: Vec<Uncompiled>,
    audit: Vec<AuditEntry>,
}

struct World {
    bench: Bench,
    agents: Vec<AgentBench>,
    pipelines: Vec<PipelineId>,
    attempts: Vec<AttemptRef>,
    /// What each agent's newest nonce got.
    answers: [Option<AttemptRef>; 2],
}

impl World {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let agents = ["a", "b"].map(|name| AgentBench::new(&bench, name)).to_vec();
        Self {
            bench,
            agents,
            pipelines: Vec::new(),
            attempts: Vec::new(),
            answers: [None, None],
        }
    }

    fn moved(&mut self, bench: Bench) {
        for agent in &mut self.agents {
            agent.store = bench.store.clone();
        }
        self.bench = bench;
    }

    async fn seen(bench: &Bench, attempts: &[AttemptRef]) -> Seen {
        let store = &bench.store;
        let mut pipelines = Vec::new();
        for summary in store.pipelines(1000).await.unwrap() {
            let events = store.events(&summary.id, 0, 1000).await.unwrap();
            pipelines.push((bench.view(&summary.id).await, events));
        }
        let mut output = Vec::new();
        for attempt in attempts {
            let chunks = store
                .job_output(&attempt.task, Some(attempt.number), 0, 1 << 20)
                .await;
            output.push(chunks.unwrap());
        }
        Seen {
            pipelines,
            output,
            uncompiled: store.uncompiled().await.unwrap(),
            audit: store.audit(0, 10_000).await.unwrap(),
        }
    }

    /// A refusal is an answer like any other; a failure of the store is not.
    async fn does(&mut self, act: &Act) {
        match act {
            Act::Create => {
                let made = self.bench.store.create_pipeline(new_pipeline("r")).await.unwrap();
                self.pipelines.push(made);
            }
            Act::Start(index)
            | Act::FailPipeline(index)
            | Act::CancelPipeline(index)
            | Act::CancelJob(index) => {
                self.does_to_pipeline(act, *index).await;
            }
            Act::Claim { agent } | Act::Repeat { agent } | Act::Presence { agent } | Act::Gone { agent } => {
                self.does_as_agent(act, *agent).await;
            }
            Act::Tick => drop(self.bench.store.tick().await.unwrap()),
            Act::Restart => {
                let bench = std::mem::replace(&mut self.bench, Bench::new().await);
                let bench = bench.restart().await;
                self.moved(bench);
            }
            Act::Kill => {
                let bench = self.bench.killed().await;
                self.moved(bench);
            }
            Act::Fetch { attempt, .. }
            | Act::Step { attempt, .. }
            | Act::Output { attempt, .. }
            | Act::Artifact { attempt }
            | Act::Unclaim { attempt, .. }
            | Act::PlaceRemoved { attempt, .. }
            | Act::Fail { attempt }
            | Act::Finish { attempt, .. } => {
                if let Some(attempt) = self.attempts.get(*attempt).cloned() {
                    self.does_to_attempt(act, &attempt).await;
                }
            }
        }
    }

    async fn does_to_pipeline(&self, act: &Act, index: usize) {
        let Some(pipeline) = self.pipelines.get(index) else {
            return;
        };
        let store = &self.bench.store;
        let order = CancelOrder {
            by: "admin".to_owned(),
            why: String::new(),
        };
        match act {
            Act::Start(_) => {
                let jobs = plan(&[("one", &[]), ("two", &["one"]), ("three", &[])]);
                store.start_pipeline(pipeline, jobs).await.unwrap();
            }
            Act::FailPipeline(_) => store.fail_pipeline(pipeline, Cause::NotAuthorised).await.unwrap(),
            Act::CancelPipeline(_) => {
                assert!(store.cancel_pipeline(pipeline, order).await.unwrap().is_some())
            }
            _ => {
                if let Some(job) = self.bench.view(pipeline).await.jobs.first() {
                    assert!(store.cancel_job(&job.task, order).await.unwrap().is_some());
                }
            }
        }
    }

    async fn does_as_agent(&mut self, act: &Act, index: usize) {
        let store = self.bench.store.clone();
        let agent = &mut self.agents[index];
        match act {
            Act::Claim { .. } => {
                let answer = agent.claim().await.map(|claim| claim.attempt);
                if let Some(attempt) = &answer {
                    assert!(!self.attempts.contains(attempt), "claimed twice");
                    self.attempts.push(attempt.clone());
                }
                self.answers[index] = answer;
            }
            Act::Repeat { .. } => {
                if let Ok(again) = store.claim(CLASS, &agent.request()).await.unwrap() {
                    assert_eq!(again.map(|claim| claim.attempt), self.answers[index]);
                }
            }
            Act::Presence { .. } => drop(store.presence(CLASS, &agent.presence()).await.unwrap()),
            _ => store.holder_gone(&agent.holder.agent).await.unwrap(),
        }
    }

    async fn does_to_attempt(&self, act: &Act, attempt: &AttemptRef) {
        let store = &self.bench.store;
        let place = TaskBench::new(&self.bench, attempt);
        match act {
            Act::Fetch { instance, .. } => {
                let place = TaskBench::of(&self.bench, attempt, ["i-1", "i-2"][*instance]);
                drop(store.task(attempt, place.instance).await.unwrap());
            }
            Act::Step { step, ended, .. } => {
                let event = if *ended {
                    StepEvent::Ended(end_of_step(0))
                } else {
                    StepEvent::Began
                };
                drop(place.step(*step, event).await);
            }
            Act::Output { sequence, .. } => {
                drop(
                    place
                        .output(vec![chunk(*sequence, &format!("{attempt} {sequence}"))])
                        .await,
                );
            }
            Act::Artifact { .. } => {
                let added = store.add_artifact(attempt, place.instance, "name", 1, "00").await;
                drop(added.unwrap());
            }
            Act::Unclaim { agent, .. } => {
                let by = self.agents[*agent].reporter();
                drop(store.unclaim(by, attempt, String::new()).await.unwrap());
            }
            Act::PlaceRemoved { agent, .. } => {
                let by = self.agents[*agent].reporter();
                drop(
                    store
                        .cause(by, attempt, Some(Cause::NodeLost), true)
                        .await
                        .unwrap(),
                );
            }
            Act::Fail { .. } => {
                let by = Reporter::Place {
                    instance: place.instance,
                };
                drop(store.fail(by, attempt, String::new()).await.unwrap());
            }
            Act::Finish { failed, last, .. } => {
                let outcome = if *failed {
                    Outcome::Failed
                } else {
                    Outcome::Succeeded
                };
                drop(place.finish(outcome, *last).await);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_opened_after_a_kill_says_what_the_killed_one_said(acts in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for act in &acts {
                world.does(act).await;
            }
            let before = World::seen(&world.bench, &world.attempts).await;
            let opened = world.bench.killed().await;
            let after = World::seen(&opened, &world.attempts).await;
            assert_eq!(before, after);

            // Memory is as the files are: both give the next jobs out alike.
            let mut next = Vec::new();
            for bench in [&world.bench, &opened] {
                let mut agent = world.agents[0].clone();
                agent.store = bench.store.clone();
                let mut claimed = Vec::new();
                while let Some(claim) = agent.claim().await {
                    claimed.push(claim.attempt);
                }
                next.push(claimed);
            }
            assert_eq!(next[0], next[1]);
        });
    }
}
