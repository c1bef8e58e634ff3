//! Who may close an attempt, and what then: row by row.

use api::runner::presence::Whose;
use api::{Cause, Millis, Outcome, Phase, Terms};

use super::case::{
    Case, agent, began, cancelled, fail, finish, heartbeat, holder, instance, internal, place, record,
    removed, succeed, unclaim, window,
};
use crate::{Call, Effect, Event, Refusal};

fn outcomes() -> [(Outcome, Option<Cause>); 4] {
    [
        (Outcome::Succeeded, None),
        (Outcome::Failed, Some(Cause::Exit { code: 3 })),
        (
            Outcome::TimedOut,
            Some(Cause::Timeout {
                step: None,
                limit: Millis::seconds(1),
            }),
        ),
        (Outcome::Cancelled, Some(cancelled())),
    ]
}

#[test]
fn a_finish_closes_with_its_outcome_before_the_first_run_operation_began() {
    for (outcome, cause) in outcomes() {
        let mut case = Case::queued().fetched();

        case.call(finish(outcome, cause.clone())).unwrap();

        assert_eq!(case.end(), Some((outcome, cause)));
    }
}

#[test]
fn a_finish_closes_with_its_outcome_after_it_began() {
    for (outcome, cause) in outcomes() {
        let mut case = Case::retrying().begun();

        let effects = case.call(finish(outcome, cause.clone())).unwrap();

        assert_eq!(
            effects,
            [
                Effect::AttemptClosed {
                    attempt: 1,
                    outcome,
                    cause: cause.clone()
                },
                Effect::JobEnded { outcome, cause }
            ]
        );
    }
}

#[test]
fn an_infrastructure_failure_before_began_is_queued_again_after_the_window() {
    let cause = Cause::DiskFull {
        r#where: "the workspace".to_owned(),
    };
    for call in [
        finish(Outcome::InfraFailed, Some(cause)),
        fail(place("one")),
        fail(agent("a")),
        unclaim(place("one")),
        unclaim(agent("a")),
        removed(None),
    ] {
        let mut case = Case::queued().fetched();

        case.call(call.clone()).unwrap();

        assert_eq!(case.closed().unwrap().0, Outcome::InfraFailed, "{call:?}");
        assert!(case.is_running(), "{call:?}");
        assert_eq!(case.pass(window()), [Effect::Requeued], "{call:?}");
        assert!(case.is_queued());
    }
}

#[test]
fn an_infrastructure_failure_after_began_ends_the_job() {
    for (call, cause) in [
        (fail(place("one")), internal("broken")),
        (fail(agent("a")), internal("broken")),
        (removed(None), Cause::SupervisorLost { signal: None }),
        (
            finish(Outcome::InfraFailed, Some(Cause::Preempted)),
            Cause::Preempted,
        ),
    ] {
        let mut case = Case::queued().begun();

        case.call(call).unwrap();
        case.pass(window());

        assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(cause))));
    }
}

#[test]
fn an_unclaim_after_began_is_refused_without_retry_infra_and_the_attempt_goes_on() {
    for by in [place("one"), agent("a")] {
        let mut case = Case::queued().begun();

        assert_eq!(case.call(unclaim(by)), Err(Refusal::RetriesExhausted));

        case.call(succeed()).unwrap();
        assert_eq!(case.end(), Some((Outcome::Succeeded, None)));
    }
}

#[test]
fn an_unclaim_is_refused_on_the_third_attempt() {
    let mut case = Case::queued();
    for _ in 0..2 {
        case = case.at(Phase::Starting);
        case.call(unclaim(place("one"))).unwrap();
        case.pass(window());
    }
    case = case.at(Phase::Starting);

    assert_eq!(case.call(unclaim(place("one"))), Err(Refusal::RetriesExhausted));

    case.call(fail(place("one"))).unwrap();
    case.pass(window());
    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(internal("broken")))));
}

#[test]
fn a_claim_that_reached_no_phase_costs_no_attempt() {
    let mut case = Case::queued();
    for _ in 0..5 {
        case = case.claimed();
        case.call(unclaim(agent("a"))).unwrap();
        case.pass(window());
    }

    assert!(case.is_queued());
    assert_eq!(case.job.attempts.len(), 5, "every attempt is kept");
}

#[test]
fn the_server_keeps_the_time_limit_from_starting_to_the_close() {
    let cause = Cause::Timeout {
        step: None,
        limit: Millis::seconds(3600),
    };
    for phase in [Phase::Starting, Phase::Running, Phase::Finishing] {
        let mut case = Case::queued().begun();
        let by = place("one");
        case.call(Call::Phase { by, phase }).unwrap();

        case.pass_with(Millis::seconds(3624), heartbeat);
        assert_eq!(case.end(), None);
        case.pass(Millis::seconds(1));

        assert_eq!(case.end(), Some((Outcome::TimedOut, Some(cause.clone()))));
    }
}

#[test]
fn the_time_limit_counts_from_the_first_call_where_starting_was_never_reported() {
    let mut case = Case::queued().at(Phase::Scheduling);
    case.pass(Millis::seconds(30));
    case.call(Call::Fetch {
        instance: instance("one"),
    })
    .unwrap();

    case.pass_with(Millis::seconds(3620), heartbeat);
    assert_eq!(case.end(), None);
    case.pass(Millis::seconds(5));

    assert_eq!(case.end().unwrap().0, Outcome::TimedOut);
}

#[test]
fn patience_with_scheduling_ends_as_unschedulable() {
    for mut case in [Case::queued().claimed(), Case::queued().at(Phase::Scheduling)] {
        let patience = Terms::default().scheduling;
        let end = case.now.after(patience);
        while case.now < end {
            case.pass(Millis::seconds(10));
            case.job.presence(1, &holder("a", 1), case.now);
        }

        let (outcome, cause) = case.closed().unwrap();
        assert_eq!(
            (outcome, cause.unwrap().kind()),
            (Outcome::InfraFailed, "unschedulable")
        );
    }
}

#[test]
fn patience_with_pulling_ends_as_image_pull() {
    let mut case = Case::queued().at(Phase::Scheduling);
    case.pass(Millis::seconds(50));
    let pulling = || Call::Phase {
        by: agent("a"),
        phase: Phase::Pulling,
    };
    case.call(pulling()).unwrap();

    case.pass_with(Millis::seconds(899), pulling);
    assert!(case.last().is_open(), "a repeated report does not begin it again");
    case.pass(Millis::seconds(1));

    let (outcome, cause) = case.closed().unwrap();
    assert_eq!(
        (outcome, cause.unwrap().kind()),
        (Outcome::InfraFailed, "image_pull")
    );
    assert!(case.pass(window()).contains(&Effect::Requeued));
}

#[test]
fn a_repeat_of_the_call_that_closed_an_attempt_gets_its_answer_and_any_other_is_gone() {
    let calls = || {
        [
            succeed(),
            finish(Outcome::InfraFailed, Some(Cause::Preempted)),
            fail(place("one")),
            fail(agent("a")),
            unclaim(place("one")),
            unclaim(agent("a")),
        ]
    };
    for closing in calls() {
        let mut case = Case::retrying().begun();
        case.call(closing.clone()).unwrap();
        let after = case.job.clone();

        for call in calls() {
            let expected = if call == closing {
                Ok(Vec::new())
            } else {
                Err(Refusal::Gone)
            };
            assert_eq!(case.call(call.clone()), expected, "{call:?} after {closing:?}");
        }
        assert_eq!(case.call(began()), Err(Refusal::Gone));
        assert_eq!(
            case.call(Call::Fetch {
                instance: instance("one")
            }),
            Err(Refusal::Gone)
        );
        assert_eq!(case.job, after, "nothing has changed");
    }
}

#[test]
fn a_restarted_agent_repeats_the_report_of_the_process_before_it() {
    let mut case = Case::queued().at(Phase::Starting);
    case.call(unclaim(agent("a"))).unwrap();
    let restarted = crate::Reporter::Agent {
        class: super::case::CLASS.to_owned(),
        holder: holder("a", 2),
    };

    assert_eq!(case.call(unclaim(restarted)), Ok(Vec::new()));
}

#[test]
fn a_finish_waits_for_the_output_before_it() {
    let mut case = Case::queued().begun();
    let finish = |stored| Call::Finish {
        instance: instance("one"),
        record: record(Outcome::Succeeded, None, 7),
        stored,
    };

    assert_eq!(case.call(finish(4)), Err(Refusal::OutputMissing { first: 5 }));
    assert_eq!(case.end(), None);
    case.call(finish(7)).unwrap();

    let output = |last| Call::Output {
        instance: instance("one"),
        last,
    };
    assert_eq!(case.call(output(7)), Ok(Vec::new()));
    assert_eq!(case.call(output(8)), Err(Refusal::Gone));
    assert_eq!(
        case.call(heartbeat()),
        Ok(Vec::new()),
        "its own end is no news to it"
    );
}

#[test]
fn a_record_that_contradicts_itself_is_invalid_and_binds_nothing() {
    let mut case = Case::queued().at(Phase::Starting);
    for (outcome, cause) in [
        (Outcome::Skipped, None),
        (Outcome::Succeeded, Some(Cause::Exit { code: 1 })),
        (Outcome::Failed, Some(Cause::Preempted)),
        (Outcome::InfraFailed, Some(Cause::Exit { code: 1 })),
    ] {
        assert!(matches!(
            case.call(finish(outcome, cause)),
            Err(Refusal::Invalid(_))
        ));
    }

    assert!(!case.last().called);
}

#[test]
fn a_call_about_an_attempt_that_never_was_is_not_found() {
    let mut case = Case::queued().claimed();

    assert_eq!(case.call_of(2, heartbeat()), Err(Refusal::NotFound));
}

#[test]
fn an_old_attempt_is_gone_while_the_next_one_runs() {
    let mut case = Case::queued().fetched();
    case.call(fail(agent("a"))).unwrap();
    case.pass(window());
    let mut case = case.claimed();

    assert_eq!(case.call_of(1, began()), Err(Refusal::Gone));
    assert_eq!(case.call_of(1, succeed()), Err(Refusal::Gone));
    assert_eq!(case.job.presence(1, &holder("a", 1), case.now).whose, Whose::Over);
    assert_eq!(
        case.job.presence(2, &holder("a", 1), case.now).whose,
        Whose::Yours
    );
}

#[test]
fn a_tick_does_what_was_due_in_its_order() {
    let mut case = Case::queued().claimed();

    let effects = case.pass(Millis::seconds(3600));

    let cause = Some(Cause::AgentLost);
    assert_eq!(
        effects[0],
        Effect::AttemptClosed {
            attempt: 1,
            outcome: Outcome::InfraFailed,
            cause
        },
        "the lease ended before patience did"
    );
    assert_eq!(case.job.apply(Event::Tick, case.now), Ok(Vec::new()));
}
