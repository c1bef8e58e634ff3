//! What is true of every history, however senseless.

use api::runner::presence::AdoptCandidate;
use api::{AttemptRef, Cause, Millis, Outcome, Phase, Terms};
use proptest::prelude::*;

use super::case::{CLASS, Case, holder, instance, reach, record};
use crate::{Call, Closer, Effect, Job, JobState, Refusal, Reporter, StepKind};

#[derive(Debug, Clone)]
enum Act {
    Call(u32, Call),
    Cancel,
    Pass(u64),
    Claim(u8),
    Presence(u32, u8, u64),
    GiveBack(u8),
    Adopt(u32, u8, u64),
    Restart,
}

fn name(agent: u8) -> &'static str {
    if agent == 0 { "a" } else { "b" }
}

fn reporter() -> impl Strategy<Value = Reporter> {
    prop_oneof![
        (0..2_u8, 1..3_u64).prop_map(|(agent, incarnation)| Reporter::Agent {
            class: CLASS.to_owned(),
            holder: holder(name(agent), incarnation),
        }),
        instances().prop_map(|instance| Reporter::Place { instance }),
    ]
}

fn instances() -> impl Strategy<Value = Option<api::InstanceId>> {
    prop_oneof![6 => Just(instance("one")), 1 => Just(instance("two")), 1 => Just(None)]
}

fn causes() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Preempted),
        Just(Cause::SupervisorLost { signal: None }),
        Just(Cause::Start {
            message: String::new(),
            certain: true
        }),
        Just(Cause::Unschedulable {
            message: String::new()
        }),
        Just(Cause::Exit { code: 1 }),
    ]
}

fn records() -> impl Strategy<Value = (Outcome, Option<Cause>)> {
    prop_oneof![
        Just((Outcome::Succeeded, None)),
        Just((Outcome::Failed, Some(Cause::Exit { code: 1 }))),
        Just((Outcome::InfraFailed, Some(Cause::Preempted))),
        Just((Outcome::InfraFailed, None)),
        Just((Outcome::Skipped, None)),
    ]
}

fn phases() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Claimed),
        Just(Phase::Scheduling),
        Just(Phase::Pulling),
        Just(Phase::Starting),
        Just(Phase::Running),
        Just(Phase::Finishing),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    let kinds = prop_oneof![Just(StepKind::Run), Just(StepKind::Other)];
    prop_oneof![
        reporter().prop_map(|by| Call::Unclaim {
            by,
            message: "u".to_owned()
        }),
        reporter().prop_map(|by| Call::Fail {
            by,
            message: "f".to_owned()
        }),
        (reporter(), phases()).prop_map(|(by, phase)| Call::Phase { by, phase }),
        (reporter(), prop::option::of(causes()), any::<bool>()).prop_map(|(by, cause, place_removed)| {
            Call::Cause {
                by,
                cause,
                place_removed,
            }
        }),
        instances().prop_map(|instance| Call::Fetch { instance }),
        instances().prop_map(|instance| Call::Heartbeat { instance }),
        (instances(), 0..4_u64).prop_map(|(instance, last)| Call::Output { instance, last }),
        (instances(), kinds).prop_map(|(instance, kind)| Call::StepBegan { instance, kind }),
        (instances(), records(), 0..3_u64, 0..3_u64).prop_map(
            |(instance, (outcome, cause), last, stored)| {
                Call::Finish {
                    instance,
                    record: record(outcome, cause, last),
                    stored,
                }
            }
        ),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (1..4_u32, calls()).prop_map(|(attempt, call)| Act::Call(attempt, call)),
        1 => Just(Act::Cancel),
        4 => (0..120_000_u64).prop_map(Act::Pass),
        3 => (0..2_u8).prop_map(Act::Claim),
        2 => (1..4_u32, 0..2_u8, 1..3_u64).prop_map(|(attempt, agent, process)| Act::Presence(attempt, agent, process)),
        1 => (0..2_u8).prop_map(Act::GiveBack),
        1 => (1..4_u32, 0..2_u8, 1..3_u64).prop_map(|(attempt, agent, process)| Act::Adopt(attempt, agent, process)),
        1 => Just(Act::Restart),
    ];
    prop::collection::vec(act, 0..60)
}

fn act(case: &mut Case, act: Act) -> Result<Vec<Effect>, Refusal> {
    match act {
        Act::Call(attempt, call) => return case.call_of(attempt, call),
        Act::Cancel => return Ok(case.cancel()),
        Act::Pass(millis) => return Ok(case.pass(Millis(millis))),
        Act::Claim(agent) => {
            case.job
                .claim(&holder(name(agent), 1), &reach(), &Terms::default(), case.now)?;
        }
        Act::Presence(attempt, agent, process) => {
            case.job
                .presence(attempt, &holder(name(agent), process), case.now);
        }
        Act::GiveBack(agent) => return Ok(case.job.give_back(&holder(name(agent), 1), case.now)),
        Act::Adopt(attempt, agent, process) => {
            let attempt = AttemptRef::new(case.job.task.clone(), attempt);
            let candidate = AdoptCandidate {
                attempt,
                held_by: holder(name(1 - agent), process),
            };
            case.job
                .adopt(&candidate, &holder(name(agent), 1), &reach(), None, case.now);
        }
        Act::Restart => {
            let text = serde_json::to_string(&case.job).unwrap();
            case.job = serde_json::from_str(&text).unwrap();
            case.job.after_restart(case.now);
        }
    }
    Ok(Vec::new())
}

fn without_leases(job: &Job) -> Job {
    let mut job = job.clone();
    job.attempts
        .iter_mut()
        .for_each(|attempt| attempt.lease_ends = crate::Time::default());
    job
}

/// What must be true from one moment to the next.
fn check_step(before: &Job, after: &Job) -> Result<(), TestCaseError> {
    if let Some(ended) = before.ended() {
        prop_assert_eq!(after.ended(), Some(ended), "an outcome changed");
    }
    for (earlier, later) in before.attempts.iter().zip(&after.attempts) {
        prop_assert!(earlier.phase <= later.phase, "a phase went backwards");
        prop_assert!(!earlier.began || later.began);
        prop_assert!(
            !earlier.called || earlier.instance == later.instance,
            "bound to another instance"
        );
        if let Some(closed) = &earlier.closed {
            let still = later
                .closed
                .as_ref()
                .map(|closed| (closed.outcome, &closed.by, closed.at));
            prop_assert_eq!(still, Some((closed.outcome, &closed.by, closed.at)));
        }
    }
    let open = after.attempts.iter().filter(|attempt| attempt.is_open()).count();
    prop_assert_eq!(
        open,
        usize::from(after.open_attempt().is_some()),
        "only the last attempt is open"
    );
    prop_assert!(open == 0 || after.state == JobState::Running);
    if after
        .ended()
        .is_some_and(|ended| ended.outcome == Outcome::Succeeded)
    {
        let by = after
            .attempts
            .last()
            .and_then(|last| last.closed.as_ref())
            .map(|closed| &closed.by);
        let green = matches!(by, Some(Closer::Finish { record, .. }) if record.outcome == Outcome::Succeeded);
        prop_assert!(green, "green without a terminal record");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_changes_what_is_settled(acts in acts(), retry in any::<bool>()) {
        let mut case = if retry { Case::retrying() } else { Case::queued() };
        let mut cancelled = false;
        for next in acts {
            let before = case.job.clone();
            let cancels = matches!(next, Act::Cancel) && before.ended().is_none();

            let result = act(&mut case, next.clone());

            check_step(&before, &case.job)?;
            if result.is_err() {
                let unchanged = without_leases(&before) == without_leases(&case.job);
                // A refused call may still be the one that binds.
                let binds = matches!(next, Act::Call(_, Call::Finish { .. } | Call::StepBegan { .. }));
                prop_assert!(unchanged || binds, "{next:?} was refused and changed something");
            }
            let effects = result.unwrap_or_default();
            cancelled |= cancels;
            prop_assert!(!cancelled || !effects.contains(&Effect::Requeued), "queued again after a cancel");
            if cancelled && let Some(ended) = case.job.ended() {
                prop_assert_eq!(ended.outcome, Outcome::Cancelled);
            }
        }
    }

    #[test]
    fn a_repeated_call_gets_the_same_answer_and_changes_nothing(acts in acts(), retry in any::<bool>()) {
        let mut case = if retry { Case::retrying() } else { Case::queued() };
        for next in acts {
            let Act::Call(..) = &next else {
                let _ = act(&mut case, next);
                continue;
            };
            let answer = act(&mut case, next.clone()).map(|_| ());
            let after = case.job.clone();

            prop_assert_eq!(&act(&mut case, next.clone()).map(|_| ()), &answer, "{:?}", next);

            prop_assert_eq!(&after, &case.job, "{:?}", next);
        }
    }

    #[test]
    fn deadlines_alone_end_every_attempt(acts in acts(), retry in any::<bool>()) {
        let mut case = if retry { Case::retrying() } else { Case::queued() };
        for next in acts {
            let _ = act(&mut case, next);
        }

        for _ in 0..10 {
            let Some(deadline) = case.job.deadline() else { break };
            case.now = case.now.max(deadline);
            let before = case.job.clone();
            case.pass(Millis(0));
            prop_assert_ne!(&before, &case.job, "a deadline that changes nothing");
        }

        prop_assert_eq!(case.job.deadline(), None);
        prop_assert!(case.is_queued() || case.job.ended().is_some(), "stuck: {:?}", case.job.state);
    }
}
