//! Cancelling a job: row by row.

use api::{Cause, Millis, Outcome};

use super::case::{
    Case, agent, began, cancelled, fail, finish, heartbeat, instance, order, place, removed, succeed,
    unclaim, window,
};
use crate::{Call, Closer, Due, Effect, Refusal, StepKind};

#[test]
fn a_blocked_or_queued_job_is_cancelled_at_once() {
    for mut case in [
        Case::queued(),
        Case {
            job: super::case::job("j", &[]),
            ..Case::queued()
        },
    ] {
        let effects = case.cancel();

        assert_eq!(
            effects,
            [Effect::JobEnded {
                outcome: Outcome::Cancelled,
                cause: Some(cancelled())
            }]
        );
        assert_eq!(case.end(), Some((Outcome::Cancelled, Some(cancelled()))));
    }
}

#[test]
fn a_cancel_of_an_attempt_still_takes_calls_and_refuses_began() {
    let mut case = Case::queued().fetched();

    assert_eq!(case.cancel(), [Effect::CancelOrdered { attempt: 1 }]);

    assert_eq!(case.call(heartbeat()), Ok(Vec::new()));
    assert_eq!(case.job.cancel_order(1), Some(&order()));
    assert_eq!(
        case.call(Call::Output {
            instance: instance("one"),
            last: 1
        }),
        Ok(Vec::new())
    );
    assert_eq!(
        case.call(Call::StepEnded {
            instance: instance("one")
        }),
        Ok(Vec::new())
    );
    assert_eq!(case.call(began()), Err(Refusal::Cancelling));
    let other = Call::StepBegan {
        instance: instance("one"),
        kind: StepKind::Other,
    };
    assert_eq!(case.call(other), Err(Refusal::Cancelling));
    assert!(!case.last().began);
}

#[test]
fn an_attempt_that_is_being_cancelled_closes_as_cancelled_by_whatever_comes() {
    for call in [
        succeed(),
        finish(Outcome::InfraFailed, Some(Cause::Preempted)),
        fail(place("one")),
        fail(agent("a")),
        unclaim(place("one")),
        unclaim(agent("a")),
        removed(Some(Cause::NodeLost)),
    ] {
        for mut case in [Case::retrying().fetched(), Case::retrying().begun()] {
            case.cancel();

            case.call(call.clone()).unwrap();

            assert_eq!(
                case.closed(),
                Some((Outcome::Cancelled, Some(cancelled()))),
                "{call:?}"
            );
            assert_eq!(
                case.end(),
                Some((Outcome::Cancelled, Some(cancelled()))),
                "{call:?}"
            );
            assert_eq!(case.job.deadline(), None);
        }
    }
}

#[test]
fn a_cancelled_attempt_closes_when_its_lease_ends() {
    let mut case = Case::queued().claimed();
    case.now = case.now.after(Millis::seconds(50));
    case.cancel();

    case.pass(Millis::seconds(10));

    assert_eq!(case.end(), Some((Outcome::Cancelled, Some(cancelled()))));
    assert_eq!(case.last().closed.as_ref().unwrap().by, Closer::Due(Due::Lease));
}

#[test]
fn the_server_closes_a_cancelled_attempt_after_grace_and_slack() {
    let mut case = Case::queued().begun();
    case.cancel();

    case.pass(Millis(24_999));
    assert_eq!(case.end(), None);
    case.pass(Millis(1));

    assert_eq!(case.end(), Some((Outcome::Cancelled, Some(cancelled()))));
}

#[test]
fn a_second_cancel_does_not_put_off_the_first() {
    let mut case = Case::queued().begun();
    case.cancel();
    case.pass(Millis::seconds(20));

    assert_eq!(case.cancel(), []);

    case.pass(Millis::seconds(5));
    assert!(case.end().is_some());
}

#[test]
fn a_cancel_in_the_window_keeps_the_attempt_and_cancels_the_job() {
    for mut case in [Case::queued().fetched(), Case::retrying().begun()] {
        case.call(fail(place("one"))).unwrap();

        case.cancel();

        assert_eq!(case.closed().unwrap().0, Outcome::InfraFailed);
        assert_eq!(case.end(), Some((Outcome::Cancelled, Some(cancelled()))));
        case.pass(Millis::seconds(600));
        assert_eq!(
            case.end(),
            Some((Outcome::Cancelled, Some(cancelled()))),
            "nothing is queued again"
        );
        assert_eq!(case.job.deadline(), None);
    }
}

#[test]
fn a_cancel_while_the_job_waits_for_its_old_place_cancels_it() {
    let mut case = Case::retrying().begun();
    case.call(fail(agent("a"))).unwrap();
    case.pass(window());
    assert!(case.is_running());

    case.cancel();
    case.call(removed(None)).unwrap();

    assert_eq!(case.end(), Some((Outcome::Cancelled, Some(cancelled()))));
    assert_eq!(case.job.deadline(), None);
}

#[test]
fn a_finish_that_was_recorded_before_the_cancel_stands() {
    let mut case = Case::queued().begun();
    case.call(succeed()).unwrap();

    assert_eq!(case.cancel(), []);

    assert_eq!(case.end(), Some((Outcome::Succeeded, None)));
}
