//! Who is killed, and how the job ends: what the rules make of it.

use api::runner::presence::{AdoptCandidate, AdoptionResult, Whose};
use api::{AttemptRef, Cause, Millis, Outcome, Phase, Terms};

use super::case::{Case, agent, fail, finish, heartbeat, holder, reach, removed, succeed};
use crate::{Agent, Call};

#[test]
fn the_server_started_again_leaves_the_job_its_own_outcome() {
    let mut case = Case::queued().begun();
    case.pass(Millis::seconds(200));

    let text = serde_json::to_string(&case.job).unwrap();
    case.job = serde_json::from_str(&text).unwrap();
    case.now = case.now.after(Millis::seconds(250));
    case.job.after_restart(case.now);
    case.pass(Millis::seconds(1));

    case.call(heartbeat()).unwrap();
    case.call(succeed()).unwrap();
    assert_eq!(case.end(), Some((Outcome::Succeeded, None)));
}

#[test]
fn the_server_away_longer_is_contact_lost_as_soon_as_it_is_back() {
    let mut case = Case::queued().begun();
    case.now = case.now.after(Millis::seconds(1000));
    case.job.after_restart(case.now);
    let cause = Cause::ContactLost { seconds: 270 };

    case.call(finish(Outcome::InfraFailed, Some(cause.clone())))
        .unwrap();
    case.call(removed(None)).unwrap();

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(cause))));
}

#[test]
fn an_agent_started_again_goes_on_with_what_it_holds() {
    let mut case = Case::queued().begun();

    assert_eq!(
        case.job.presence(1, &holder("a", 2), case.now).whose,
        Whose::Yours
    );

    assert_eq!(
        case.job.presence(1, &holder("a", 1), case.now).whose,
        Whose::Moved,
        "the older touches nothing"
    );
    assert_eq!(case.call(fail(agent("a"))), Err(crate::Refusal::Gone));
    case.call(succeed()).unwrap();
    assert_eq!(case.end(), Some((Outcome::Succeeded, None)));
}

#[test]
fn an_agent_lost_before_the_first_call_has_its_job_queued_again() {
    for mut case in [Case::queued().claimed(), Case::queued().at(Phase::Starting)] {
        case.pass(Millis::seconds(59));
        assert!(case.last().is_open());
        case.pass(Millis::seconds(11));

        assert_eq!(
            case.closed(),
            Some((Outcome::InfraFailed, Some(Cause::AgentLost)))
        );
        case.pass(Millis::seconds(10));
        assert!(case.is_queued());
    }
}

#[test]
fn an_agent_lost_later_leaves_the_job_its_own_outcome_and_its_place_to_another() {
    let mut case = Case::queued().begun();
    let gone = Agent::new(&holder("a", 1), &reach(), Terms::default().presence, case.now);
    case.pass_with(Millis::seconds(600), heartbeat);
    assert!(!gone.is_present(case.now));

    let candidate = AdoptCandidate {
        attempt: AttemptRef::new(case.job.task.clone(), 1),
        held_by: holder("a", 1),
    };
    let adopted = case
        .job
        .adopt(&candidate, &holder("b", 1), &reach(), Some(&gone), case.now);

    assert_eq!(
        adopted,
        AdoptionResult::Adopted {
            terms: Terms::default()
        }
    );
    case.call(succeed()).unwrap();
    assert_eq!(case.end(), Some((Outcome::Succeeded, None)));
    assert_eq!(case.job.presence(1, &holder("b", 1), case.now).whose, Whose::Over);
    assert_eq!(
        case.job.presence(1, &holder("a", 1), case.now).whose,
        Whose::Moved
    );
}

#[test]
fn goat_or_the_task_agent_lost_says_so_with_the_signal() {
    for cause in [
        Cause::SupervisorLost { signal: Some(9) },
        Cause::TaskAgentLost { signal: Some(9) },
    ] {
        let mut case = Case::queued().begun();

        case.call(removed(Some(cause.clone()))).unwrap();

        assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(cause))));
    }
}

#[test]
fn a_steps_process_killed_is_a_failure_of_the_job() {
    let mut case = Case::queued().begun();

    case.call(finish(Outcome::Failed, Some(Cause::Signal { n: 9 })))
        .unwrap();

    assert_eq!(case.end(), Some((Outcome::Failed, Some(Cause::Signal { n: 9 }))));
}

#[test]
fn a_place_that_ended_with_its_agent_is_agent_lost_at_once() {
    let mut case = Case::queued().begun();
    case.job.presence(1, &holder("a", 2), case.now);
    let by = crate::Reporter::Agent {
        class: super::case::CLASS.to_owned(),
        holder: holder("a", 2),
    };

    case.call(Call::Cause {
        by,
        cause: Some(Cause::AgentLost),
        place_removed: true,
    })
    .unwrap();

    assert_eq!(case.end(), Some((Outcome::InfraFailed, Some(Cause::AgentLost))));
}
