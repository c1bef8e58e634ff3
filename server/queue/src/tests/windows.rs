//! The window of an infrastructure failure, and what comes after it.

use api::{Cause, Millis, Outcome, Phase};

use super::case::{
    Case, agent, fail, finish, heartbeat, holder, instance, internal, place, reach, removed, succeed, told,
    unclaim, window,
};
use crate::{Call, Effect, Refusal, Reporter};

#[test]
fn in_the_window_only_a_cause_is_taken() {
    let mut case = Case::queued().fetched();
    case.call(fail(place("one"))).unwrap();

    assert_eq!(case.call(succeed()), Err(Refusal::Gone));
    assert_eq!(case.call(heartbeat()), Err(Refusal::Gone));
    assert_eq!(
        case.call(Call::Phase {
            by: agent("a"),
            phase: Phase::Running
        }),
        Err(Refusal::Gone)
    );
    let evicted = Cause::Evicted {
        resource: "memory".to_owned(),
    };
    assert_eq!(
        case.call(told(evicted.clone())),
        Ok(vec![Effect::CauseTold {
            attempt: 1,
            cause: evicted.clone()
        }])
    );
    assert_eq!(
        case.closed(),
        Some((Outcome::InfraFailed, Some(evicted))),
        "the outcome is fixed"
    );
}

#[test]
fn the_agents_cause_with_place_removed_ends_the_window_early() {
    let mut case = Case::queued().begun();
    case.call(fail(place("one"))).unwrap();

    case.call(removed(Some(Cause::Preempted))).unwrap();

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(Cause::Preempted))));
}

#[test]
fn a_removed_place_without_a_cause_waits_for_one_and_a_second_word_of_it_changes_nothing() {
    let mut case = Case::queued().begun();
    case.call(removed(None)).unwrap();
    case.call(removed(None)).unwrap();
    assert_eq!(case.end(), None);

    case.call(told(Cause::NodeLost)).unwrap();
    case.pass(window());

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(Cause::NodeLost))));
    assert_eq!(
        case.call(removed(None)),
        Ok(Vec::new()),
        "it is repeated until answered"
    );
}

#[test]
fn after_the_window_a_cause_is_gone() {
    let mut case = Case::queued().begun();
    case.call(fail(place("one"))).unwrap();
    case.pass(window());

    assert_eq!(case.call(told(Cause::NodeLost)), Err(Refusal::Gone));
    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(internal("broken")))));
}

#[test]
fn a_cause_that_was_told_before_the_failure_is_its_cause() {
    let mut case = Case::queued().begun();
    let evicted = Cause::Evicted {
        resource: "memory".to_owned(),
    };
    case.call(told(evicted.clone())).unwrap();
    assert!(case.last().is_open(), "a cause alone ends nothing");

    case.call(finish(
        Outcome::InfraFailed,
        Some(Cause::Deleted {
            by: "unknown".to_owned(),
        }),
    ))
    .unwrap();

    assert_eq!(case.closed(), Some((Outcome::InfraFailed, Some(evicted))));
}

#[test]
fn a_cause_that_only_says_that_something_was_lost_does_not_blunt_a_sharper_one() {
    let mut case = Case::queued().begun();
    case.call(finish(
        Outcome::InfraFailed,
        Some(Cause::ContactLost { seconds: 270 }),
    ))
    .unwrap();

    case.call(removed(Some(Cause::SupervisorLost { signal: Some(9) })))
        .unwrap();

    assert_eq!(
        case.end(),
        Some((Outcome::InfraFailed, Some(Cause::ContactLost { seconds: 270 })))
    );
}

#[test]
fn an_agent_that_looked_too_late_does_not_blunt_what_goat_said() {
    let mut case = Case::queued().begun();
    case.call(fail(place("one"))).unwrap();

    case.call(removed(Some(Cause::SupervisorLost { signal: None })))
        .unwrap();

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(internal("broken")))));
}

#[test]
fn an_agent_that_saw_the_end_sharpens_what_goat_said() {
    let mut case = Case::queued().begun();
    case.call(fail(place("one"))).unwrap();
    let seen = Cause::TaskAgentLost { signal: Some(9) };

    case.call(removed(Some(seen.clone()))).unwrap();

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(seen))));
}

#[test]
fn a_task_agent_that_was_ended_by_term_leaves_the_sharper_cause_to_the_agent() {
    let mut case = Case::queued().begun();
    case.call(finish(
        Outcome::InfraFailed,
        Some(Cause::Deleted {
            by: "unknown".to_owned(),
        }),
    ))
    .unwrap();

    case.call(removed(Some(Cause::Preempted))).unwrap();

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(Cause::Preempted))));
}

#[test]
fn only_the_holder_says_that_the_place_is_gone_and_only_with_an_infrastructure_cause() {
    let mut case = Case::queued().begun();
    let removed_by = |by, cause| Call::Cause {
        by,
        cause,
        place_removed: true,
    };

    assert_eq!(case.call(removed_by(agent("b"), None)), Err(Refusal::Gone));
    assert!(matches!(
        case.call(removed_by(place("one"), None)),
        Err(Refusal::Forbidden(_))
    ));
    assert!(matches!(
        case.call(removed_by(agent("a"), Some(Cause::Exit { code: 1 }))),
        Err(Refusal::Invalid(_))
    ));
    let nothing = Call::Cause {
        by: agent("a"),
        cause: None,
        place_removed: false,
    };
    assert!(matches!(case.call(nothing), Err(Refusal::Invalid(_))));
    assert!(case.last().is_open());
}

#[test]
fn causes_until_told_better() {
    let supervisor = Cause::SupervisorLost { signal: None };
    for (call, cause) in [
        (fail(place("one")), internal("broken")),
        (unclaim(place("one")), internal("given back")),
        (removed(None), supervisor),
    ] {
        let mut case = Case::queued().fetched();
        case.call(call).unwrap();
        assert_eq!(case.closed(), Some((Outcome::InfraFailed, Some(cause))));
    }

    let mut unheard = Case::queued().at(Phase::Starting);
    unheard.pass(Millis::seconds(60));
    assert_eq!(
        unheard.closed(),
        Some((Outcome::InfraFailed, Some(Cause::AgentLost)))
    );

    let mut heard = Case::queued().fetched();
    heard.pass(Millis::seconds(60));
    let lost = Cause::TaskAgentLost { signal: None };
    assert_eq!(heard.closed(), Some((Outcome::InfraFailed, Some(lost))));
}

#[test]
fn before_began_the_job_is_queued_again_when_the_window_closes_whatever_the_place_does() {
    let mut case = Case::queued().fetched();
    case.call(fail(agent("a"))).unwrap();

    case.pass(window());

    assert!(case.is_queued());
    assert_eq!(
        case.call(super::case::began()),
        Err(Refusal::Gone),
        "the old place may not begin"
    );
}

#[test]
fn after_began_the_job_waits_until_the_agent_says_that_the_place_is_gone() {
    for call in [fail(agent("a")), unclaim(agent("a"))] {
        let mut case = Case::retrying().begun();
        case.call(call).unwrap();
        case.pass(window());
        assert!(case.is_running(), "giving up is not knowing that it is gone");
        assert_eq!(
            case.call(told(Cause::NodeLost)),
            Err(Refusal::Gone),
            "the window is over"
        );

        let effects = case.call(removed(None)).unwrap();

        assert_eq!(effects, [Effect::Requeued]);
        assert!(case.is_queued());
    }
}

#[test]
fn after_began_the_job_waits_until_the_lease_has_ended_and_nothing_renews_it() {
    let mut case = Case::retrying().begun();
    case.call(fail(agent("a"))).unwrap();
    case.pass(window());

    assert_eq!(case.call(heartbeat()), Err(Refusal::Gone));
    case.job.presence(1, &holder("a", 1), case.now);
    case.pass(Millis::seconds(289));
    assert!(case.is_running());
    case.pass(Millis::seconds(1));

    assert!(case.is_queued());
}

#[test]
fn what_the_bound_instance_says_is_known_gone() {
    for call in [
        fail(place("one")),
        unclaim(place("one")),
        finish(Outcome::InfraFailed, Some(Cause::ContactLost { seconds: 270 })),
    ] {
        let mut case = Case::retrying().begun();
        case.call(call).unwrap();

        case.pass(window());

        assert!(case.is_queued());
    }
}

#[test]
fn two_starts_that_look_alike_cannot_speak_for_each_other() {
    let nobody = || Reporter::Place { instance: None };
    let mut case = Case::retrying().at(Phase::Starting);
    case.call(Call::Fetch { instance: None }).unwrap();
    case.call(Call::StepBegan {
        instance: None,
        kind: crate::StepKind::Run,
    })
    .unwrap();

    case.call(fail(nobody())).unwrap();
    case.pass(window());

    assert!(case.is_running(), "it waits for the lease or the holder");
}

#[test]
fn a_lease_that_has_ended_is_knowledge_enough() {
    let mut case = Case::retrying().begun();

    case.pass(Millis::seconds(300));
    assert!(!case.last().is_open());
    case.pass(window());

    assert!(case.is_queued());
}

#[test]
fn after_a_restart_the_old_places_lease_has_a_full_term() {
    let mut case = Case::retrying().begun();
    case.call(fail(agent("a"))).unwrap();
    case.pass(window());
    let text = serde_json::to_string(&case.job).unwrap();
    case.job = serde_json::from_str(&text).unwrap();
    case.job.after_restart(case.now);

    case.pass(Millis::seconds(299));
    assert!(case.is_running());
    case.pass(Millis::seconds(1));

    assert!(case.is_queued());
}

#[test]
fn an_unschedulable_job_is_queued_again_once_the_patience_of_its_class_is_over() {
    let unschedulable = Cause::Unschedulable {
        message: "no node has a GPU".to_owned(),
    };
    let mut case = Case::queued().at(Phase::Scheduling);
    case.call(removed(Some(unschedulable))).unwrap();

    assert!(case.is_running());
    case.pass(Millis::seconds(299));
    assert!(case.is_running());
    case.pass(Millis::seconds(1));

    assert!(case.is_queued());
}

#[test]
fn infrastructure_gets_three_attempts() {
    let mut case = Case::queued();
    for _ in 0..3 {
        case = case.fetched();
        case.call(removed(Some(Cause::NodeLost))).unwrap();
    }

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(Cause::NodeLost))));
    assert_eq!(case.job.attempts.len(), 3);
}

#[test]
fn a_job_that_is_queued_again_keeps_its_place_in_the_queue() {
    let mut case = Case::queued();
    let before = case.job.state.clone();
    case.pass(Millis::seconds(30));
    case = case.fetched();
    case.call(removed(Some(Cause::NodeLost))).unwrap();

    assert_eq!(case.job.state, before);
}

#[test]
fn the_word_of_an_adopter_ends_the_wait_for_a_place() {
    let mut case = Case::retrying().begun();
    let candidate = api::runner::presence::AdoptCandidate {
        attempt: api::AttemptRef::new(case.job.task.clone(), 1),
        held_by: holder("a", 1),
    };
    case.job
        .adopt(&candidate, &holder("b", 1), &reach(), None, case.now);
    case.call(Call::Heartbeat {
        instance: instance("one"),
    })
    .unwrap();

    assert_eq!(
        case.call(removed(None)),
        Err(Refusal::Gone),
        "the one before has no say"
    );
    case.call(Call::Cause {
        by: agent("b"),
        cause: Some(Cause::NodeLost),
        place_removed: true,
    })
    .unwrap();

    assert!(case.is_queued());
}
