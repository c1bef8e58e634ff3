//! The task lease, phases, and the instance that an attempt is bound to.

use api::{Millis, Phase, Terms};

use super::case::{
    CLASS, Case, agent, began, fail, heartbeat, holder, instance, place, reach, succeed, unclaim, window,
};
use crate::{Call, Effect, Job, Refusal, Reporter, StepKind};

#[test]
fn the_agent_holds_the_lease_until_the_task_agents_first_call() {
    let mut case = Case::queued().claimed();
    for _ in 0..4 {
        case.pass(Millis::seconds(50));
        case.job.presence(1, &holder("a", 1), case.now);
    }
    case.pass(Millis::seconds(50));
    case.call(Call::Phase {
        by: agent("a"),
        phase: Phase::Scheduling,
    })
    .unwrap();
    assert_eq!(case.job.lease(), Some(case.now.after(Millis::seconds(60))));

    case.call(Call::Fetch {
        instance: instance("one"),
    })
    .unwrap();
    let lease = case.job.lease();
    case.pass(Millis::seconds(10));
    case.job.presence(1, &holder("a", 1), case.now);
    case.call(Call::Phase {
        by: agent("a"),
        phase: Phase::Starting,
    })
    .unwrap();

    assert_eq!(
        case.job.lease(),
        lease,
        "from then on the task agent alone renews it"
    );
}

#[test]
fn the_lease_is_short_before_began_and_long_from_its_answer_on() {
    let mut case = Case::queued().fetched();
    assert_eq!(
        case.job.lease(),
        Some(case.now.after(Terms::default().lease_before))
    );

    case.call(Call::StepBegan {
        instance: instance("one"),
        kind: StepKind::Other,
    })
    .unwrap();
    assert_eq!(
        case.job.lease(),
        Some(case.now.after(Terms::default().lease_before))
    );
    case.call(began()).unwrap();

    assert_eq!(
        case.job.lease(),
        Some(case.now.after(Terms::default().lease_after))
    );
}

#[test]
fn every_answered_call_of_the_task_agent_renews_the_lease_also_a_refused_one() {
    let finish = Call::Finish {
        instance: instance("one"),
        record: super::case::record(api::Outcome::Succeeded, None, 3),
        stored: 0,
    };
    for call in [
        Call::Fetch {
            instance: instance("one"),
        },
        heartbeat(),
        Call::Output {
            instance: instance("one"),
            last: 1,
        },
        began(),
        Call::StepEnded {
            instance: instance("one"),
        },
        Call::Upload {
            instance: instance("one"),
        },
        Call::Phase {
            by: place("one"),
            phase: Phase::Running,
        },
        finish,
    ] {
        let mut case = Case::queued().begun();
        case.cancel();
        case.now = case.now.after(Millis::seconds(20));

        let _ = case.call(call);

        assert_eq!(case.job.lease(), Some(case.now.after(Millis::seconds(300))));
    }
}

#[test]
fn an_attempt_keeps_the_terms_that_it_was_given() {
    let mut case = Case::queued();
    let terms = Terms {
        lease_before: Millis::seconds(3),
        ..Terms::default()
    };

    case.job
        .claim(&holder("a", 1), &reach(), &terms, case.now)
        .unwrap();

    assert_eq!(case.job.deadline(), Some(case.now.after(Millis::seconds(3))));
}

#[test]
fn a_lease_is_not_serialized_and_a_restart_gives_a_full_term() {
    let mut case = Case::queued().begun();
    let text = serde_json::to_string(&case.job).unwrap();
    let mut loaded: Job = serde_json::from_str(&text).unwrap();
    assert!(loaded.same_record(&case.job));
    assert_ne!(loaded, case.job);

    loaded.set_lease(case.job.lease().unwrap());
    assert_eq!(loaded, case.job);

    case.now = case.now.after(Millis::seconds(250));
    loaded.after_restart(case.now);
    assert_eq!(loaded.lease(), Some(case.now.after(Millis::seconds(300))));
    assert!(loaded.same_record(&case.job));
}

#[test]
fn the_first_caller_binds_the_attempt_and_every_other_start_is_gone() {
    let mut case = Case::queued().fetched();
    let after = case.job.clone();
    let two = || instance("two");

    for call in [
        Call::Fetch { instance: two() },
        Call::Heartbeat { instance: two() },
        Call::Output {
            instance: two(),
            last: 1,
        },
        Call::StepBegan {
            instance: two(),
            kind: StepKind::Run,
        },
        Call::StepEnded { instance: two() },
        Call::Upload { instance: two() },
        Call::Phase {
            by: place("two"),
            phase: Phase::Finishing,
        },
        unclaim(place("two")),
        fail(place("two")),
        fail(Reporter::Place { instance: None }),
    ] {
        assert_eq!(case.call(call.clone()), Err(Refusal::Gone), "{call:?}");
    }
    assert_eq!(case.job, after, "nothing has changed");
    case.call(succeed()).unwrap();
}

#[test]
fn before_the_first_call_any_start_may_give_up() {
    for call in [unclaim(place("two")), fail(place("two"))] {
        let mut case = Case::queued().at(Phase::Starting);

        case.call(call.clone()).unwrap();

        assert_eq!(case.call(call), Ok(Vec::new()));
        case.pass(window());
        assert!(case.is_queued());
    }
}

#[test]
fn a_phase_never_goes_backwards() {
    let mut case = Case::queued().at(Phase::Pulling);
    case.pass(Millis::seconds(5));
    let phase = |phase| Call::Phase {
        by: agent("a"),
        phase,
    };

    assert_eq!(case.call(phase(Phase::Scheduling)), Ok(Vec::new()));
    assert_eq!(case.last().phase, Phase::Pulling);
    let starting = vec![Effect::Phase {
        attempt: 1,
        phase: Phase::Starting,
    }];
    assert_eq!(case.call(phase(Phase::Starting)), Ok(starting));
    assert_eq!(case.last().started_at, Some(case.now));
    case.pass(Millis::seconds(5));

    assert_eq!(case.last().time_used(case.now), Millis::seconds(5));
}

#[test]
fn reports_of_an_agent_are_fenced_by_holder_incarnation_and_class() {
    let mut case = Case::queued().at(Phase::Starting);
    case.job.presence(1, &holder("a", 2), case.now);
    let stranger = Reporter::Agent {
        class: "other".to_owned(),
        holder: holder("a", 2),
    };

    for by in [agent("b"), agent("a")] {
        assert_eq!(case.call(unclaim(by.clone())), Err(Refusal::Gone));
        assert_eq!(case.call(fail(by.clone())), Err(Refusal::Gone));
        assert_eq!(
            case.call(Call::Phase {
                by,
                phase: Phase::Running
            }),
            Err(Refusal::Gone)
        );
    }
    assert!(matches!(case.call(fail(stranger)), Err(Refusal::Forbidden(_))));
    let newest = Reporter::Agent {
        class: CLASS.to_owned(),
        holder: holder("a", 2),
    };
    case.call(unclaim(newest)).unwrap();
}
