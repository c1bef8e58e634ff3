//! The table of causes: what each lets a job do.

use api::{Cause, Millis, Outcome};

use super::case::{Case, finish, removed, window};

fn text() -> String {
    "x".to_owned()
}

/// Infrastructure causes that let a job run again.
fn again() -> Vec<Cause> {
    vec![
        Cause::Clone {
            message: text(),
            certain: false,
        },
        Cause::ImagePull {
            image: text(),
            message: text(),
            certain: false,
        },
        Cause::Start {
            message: text(),
            certain: false,
        },
        Cause::Evicted { resource: text() },
        Cause::Preempted,
        Cause::NodeLost,
        Cause::Deleted { by: text() },
        Cause::EngineLost,
        Cause::ContactLost { seconds: 1 },
        Cause::SupervisorLost { signal: Some(9) },
        Cause::TaskAgentLost { signal: Some(9) },
        Cause::AgentLost,
        Cause::DiskFull { r#where: text() },
        Cause::Probe,
        Cause::Internal { message: text() },
    ]
}

/// Infrastructure causes that do not.
fn never() -> Vec<Cause> {
    vec![
        Cause::Clone {
            message: text(),
            certain: true,
        },
        Cause::ImagePull {
            image: text(),
            message: text(),
            certain: true,
        },
        Cause::Start {
            message: text(),
            certain: true,
        },
        Cause::Secrets { message: text() },
        Cause::Admission { message: text() },
        Cause::Service {
            name: text(),
            why: text(),
            log_tail: text(),
        },
    ]
}

#[test]
fn a_cause_marked_yes_is_queued_again_before_began() {
    for cause in again() {
        let mut case = Case::queued().fetched();
        case.call(removed(Some(cause.clone()))).unwrap();
        assert!(case.is_queued(), "{cause:?}");
    }
}

#[test]
fn a_cause_marked_yes_is_queued_again_after_began_with_retry_infra_only() {
    for cause in again() {
        let mut case = Case::retrying().begun();
        case.call(removed(Some(cause.clone()))).unwrap();
        assert!(case.is_queued(), "{cause:?}");

        let mut case = Case::queued().begun();
        case.call(removed(Some(cause.clone()))).unwrap();
        assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(cause))));
    }
}

#[test]
fn a_cause_marked_no_is_never_queued_again() {
    for cause in never() {
        for mut case in [
            Case::queued().fetched(),
            Case::retrying().fetched(),
            Case::retrying().begun(),
        ] {
            case.call(removed(Some(cause.clone()))).unwrap();
            assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(cause.clone()))));
        }
    }
}

#[test]
fn a_terminal_record_may_carry_any_infrastructure_cause() {
    for cause in again().into_iter().chain(never()) {
        let mut case = Case::queued().begun();
        case.call(finish(Outcome::InfraFailed, Some(cause.clone())))
            .unwrap();
        case.pass(window());
        assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(cause))));
    }
}

#[test]
fn what_a_step_or_a_limit_did_is_never_queued_again() {
    for (outcome, cause) in [
        (Outcome::Failed, Cause::Exit { code: 1 }),
        (Outcome::Failed, Cause::Signal { n: 9 }),
        (
            Outcome::Failed,
            Cause::Oom {
                container: text(),
                limit: None,
                peak: None,
            },
        ),
        (Outcome::Failed, Cause::NotAuthorised),
        (
            Outcome::TimedOut,
            Cause::Timeout {
                step: None,
                limit: Millis(1),
            },
        ),
        (Outcome::TimedOut, Cause::NoOutput { step: text() }),
    ] {
        let mut case = Case::retrying().begun();
        case.call(finish(outcome, Some(cause.clone()))).unwrap();
        assert_eq!(case.end(), Some((outcome, Some(cause))));
    }
}
