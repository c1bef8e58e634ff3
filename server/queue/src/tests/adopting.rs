//! Presence, adoption and status.

use api::runner::presence::{AdoptCandidate, AdoptionResult, Life, Whose};
use api::{AttemptRef, Millis, Phase, Reach, Terms};

use super::case::{Case, agent, fail, heartbeat, holder, order, reach, removed, succeed};
use crate::{Agent, Refusal};

fn adopted() -> AdoptionResult {
    AdoptionResult::Adopted {
        terms: Terms::default(),
    }
}

fn candidate(case: &Case, incarnation: u64) -> AdoptCandidate {
    AdoptCandidate {
        attempt: AttemptRef::new(case.job.task.clone(), 1),
        held_by: holder("a", incarnation),
    }
}

fn keeper(case: &Case) -> Agent {
    Agent::new(&holder("a", 1), &reach(), Terms::default().presence, case.now)
}

#[test]
fn presence_says_yours_moved_or_over_and_brings_a_cancel() {
    let mut case = Case::queued().at(Phase::Starting);
    let standing = case.job.presence(1, &holder("a", 1), case.now);
    assert_eq!((standing.whose, standing.cancel), (Whose::Yours, None));
    assert_eq!(
        case.job.presence(1, &holder("b", 1), case.now).whose,
        Whose::Moved
    );
    assert_eq!(
        case.job.presence(9, &holder("a", 1), case.now).whose,
        Whose::Moved
    );

    case.cancel();
    assert_eq!(
        case.job.presence(1, &holder("a", 1), case.now).cancel,
        Some(order())
    );

    case.call(fail(agent("a"))).unwrap();
    let standing = case.job.presence(1, &holder("a", 1), case.now);
    assert_eq!((standing.whose, standing.cancel), (Whose::Over, None));
}

#[test]
fn an_attempt_in_its_window_is_over_for_its_holder() {
    let mut case = Case::retrying().begun();
    case.call(fail(super::case::place("one"))).unwrap();

    assert_eq!(case.job.presence(1, &holder("a", 1), case.now).whose, Whose::Over);
    assert_eq!(case.job.status(1).life, Life::Over);
}

#[test]
fn nothing_is_adopted_from_an_agent_that_is_present() {
    let mut case = Case::queued().begun();
    let present = keeper(&case);

    let result = case.job.adopt(
        &candidate(&case, 1),
        &holder("b", 1),
        &reach(),
        Some(&present),
        case.now,
    );

    assert_eq!(result, AdoptionResult::Refused);
    assert_eq!(case.last().holder, holder("a", 1));
}

#[test]
fn an_adoption_names_the_holder_and_incarnation_that_the_attempt_has() {
    let mut case = Case::queued().begun();
    case.job.presence(1, &holder("a", 2), case.now);
    let absent = keeper(&case);
    case.pass_with(Millis::seconds(60), heartbeat);

    let stale = case.job.adopt(
        &candidate(&case, 1),
        &holder("b", 1),
        &reach(),
        Some(&absent),
        case.now,
    );
    let right = case.job.adopt(
        &candidate(&case, 2),
        &holder("b", 1),
        &reach(),
        Some(&absent),
        case.now,
    );

    assert_eq!((stale, right), (AdoptionResult::Refused, adopted()));
    assert_eq!(
        case.call(removed(None)),
        Err(Refusal::Gone),
        "the one before has no say any more"
    );
}

#[test]
fn an_adoption_stays_within_one_reach() {
    let mut case = Case::queued().begun();
    let elsewhere = Reach("elsewhere".to_owned());

    let result = case
        .job
        .adopt(&candidate(&case, 1), &holder("b", 1), &elsewhere, None, case.now);

    assert_eq!(result, AdoptionResult::Refused);
}

#[test]
fn a_repeated_adoption_gets_the_same_answer() {
    let mut case = Case::queued().begun();
    for _ in 0..2 {
        let result = case
            .job
            .adopt(&candidate(&case, 1), &holder("b", 1), &reach(), None, case.now);
        assert_eq!(result, adopted());
    }

    let other = case
        .job
        .adopt(&candidate(&case, 1), &holder("c", 1), &reach(), None, case.now);
    assert_eq!(other, AdoptionResult::Refused);
}

#[test]
fn an_attempt_that_is_over_is_not_adopted() {
    let mut case = Case::queued().begun();
    case.call(succeed()).unwrap();

    let result = case
        .job
        .adopt(&candidate(&case, 1), &holder("b", 1), &reach(), None, case.now);

    assert_eq!(result, AdoptionResult::Over);
}

#[test]
fn an_adopter_holds_the_lease_until_the_first_call() {
    let mut case = Case::queued().at(Phase::Starting);
    case.pass(Millis::seconds(50));

    case.job
        .adopt(&candidate(&case, 1), &holder("b", 1), &reach(), None, case.now);

    assert_eq!(case.job.lease(), Some(case.now.after(Millis::seconds(60))));
}

#[test]
fn status_says_live_over_or_unknown() {
    let mut case = Case::queued().begun();
    let live = case.job.status(1);
    assert_eq!((live.life, live.holder), (Life::Live, Some(holder("a", 1))));

    case.call(succeed()).unwrap();

    assert_eq!(case.job.status(1).life, Life::Over);
    assert_eq!(case.job.status(2).life, Life::Unknown);
}
