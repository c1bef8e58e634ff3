//! Claims: nonces, incarnations, and what is given back.

use api::{AttemptRef, Cause, Millis, Outcome, Phase, Reach, Terms};

use super::case::{Case, START, holder, instance, reach};
use crate::{Agent, Arrival, Ask, Call, Effect, NonceAge, Refusal};

const PRESENCE: Millis = Millis::seconds(60);

fn known() -> Agent {
    Agent::new(&holder("a", 1), &reach(), PRESENCE, START)
}

fn attempt(case: &Case, number: u32) -> AttemptRef {
    AttemptRef::new(case.job.task.clone(), number)
}

#[test]
fn the_same_nonce_gets_the_same_claim() {
    let mut agent = known();
    let mut case = Case::queued();
    assert_eq!(agent.ask(1), Ok(Ask::Search(NonceAge::New)));
    assert_eq!(agent.ask(1), Ok(Ask::Search(NonceAge::Seen)), "while it is open");
    case = case.claimed();
    agent.claimed(attempt(&case, 1));

    assert_eq!(agent.ask(1), Ok(Ask::Again(attempt(&case, 1))));
    assert_eq!(case.job.reclaim(1, &holder("a", 1), case.now), Ok(()));
}

#[test]
fn a_nonce_of_a_closed_attempt_is_gone() {
    let mut case = Case::queued().at(Phase::Starting);
    case.call(super::case::fail(super::case::agent("a"))).unwrap();

    assert_eq!(case.job.reclaim(1, &holder("a", 1), case.now), Err(Refusal::Gone));
}

#[test]
fn a_nonce_that_got_nothing_gets_nothing_again() {
    let mut agent = known();
    agent.ask(1).unwrap();
    agent.close_nonce();

    assert_eq!(agent.ask(1), Ok(Ask::Nothing));
    assert_eq!(agent.ask(2), Ok(Ask::Search(NonceAge::New)));
}

#[test]
fn a_lower_nonce_is_gone() {
    let mut agent = known();
    agent.ask(2).unwrap();

    assert_eq!(agent.ask(1), Err(Refusal::Gone));
}

#[test]
fn closing_a_nonce_that_has_its_claim_changes_nothing() {
    let mut agent = known();
    agent.ask(1).unwrap();
    agent.claimed(attempt(&Case::queued(), 1));
    let before = agent.clone();

    agent.close_nonce();

    assert_eq!(agent, before);
}

#[test]
fn a_newer_incarnation_ends_the_older_one() {
    let mut agent = known();

    assert_eq!(
        agent.hear(&holder("a", 1), Some(&reach()), PRESENCE, START),
        Ok(Arrival::Known)
    );
    assert_eq!(
        agent.hear(&holder("a", 2), Some(&reach()), PRESENCE, START),
        Ok(Arrival::NewIncarnation)
    );
    assert_eq!(
        agent.hear(&holder("a", 1), Some(&reach()), PRESENCE, START),
        Err(Refusal::Gone)
    );
}

#[test]
fn an_agent_id_belongs_to_one_reach() {
    let mut agent = known();
    let elsewhere = Reach("elsewhere".to_owned());
    let before = agent.clone();

    let refused = agent.hear(&holder("a", 2), Some(&elsewhere), PRESENCE, START);

    assert!(matches!(refused, Err(Refusal::Forbidden(_))));
    assert_eq!(agent, before, "the copy has not ended the process that is right");
}

#[test]
fn an_agent_counts_as_alive_for_the_presence_term_after_each_call() {
    let mut agent = known();
    let later = START.after(Millis::seconds(59));
    assert!(agent.is_present(later));

    agent.hear(&holder("a", 1), None, PRESENCE, later).unwrap();

    assert!(agent.is_present(later.after(Millis::seconds(59))));
    assert!(!agent.is_present(later.after(PRESENCE)));
}

#[test]
fn a_new_nonce_gives_back_a_claim_that_never_arrived_without_a_window() {
    let mut case = Case::queued().claimed();

    let effects = case.job.give_back(&holder("a", 1), case.now);

    let message = "the claim never arrived at its agent".to_owned();
    let cause = Some(Cause::Internal { message });
    let closed = Effect::AttemptClosed {
        attempt: 1,
        outcome: Outcome::InfraFailed,
        cause,
    };
    assert_eq!(effects, [closed, Effect::Requeued]);
    assert!(case.is_queued());
}

#[test]
fn a_claim_that_arrived_or_reached_something_goes_on_under_its_lease() {
    let mut listed = Case::queued().claimed();
    listed.job.presence(1, &holder("a", 1), listed.now);
    let mut bound = Case::queued().claimed();
    bound
        .call(Call::Fetch {
            instance: instance("one"),
        })
        .unwrap();

    for mut case in [listed, bound, Case::queued().at(Phase::Scheduling)] {
        assert_eq!(case.job.give_back(&holder("a", 1), case.now), []);
        assert!(case.last().is_open());
    }
}

#[test]
fn a_new_nonce_gives_back_nothing_of_another_agent() {
    let mut case = Case::queued().claimed();

    assert_eq!(case.job.give_back(&holder("b", 1), case.now), []);
}

#[test]
fn a_claim_that_was_cancelled_is_given_back_as_cancelled() {
    let mut case = Case::queued().claimed();
    case.cancel();

    case.job.give_back(&holder("a", 1), case.now);

    assert_eq!(case.end().unwrap().0, Outcome::Cancelled);
}

#[test]
fn only_a_queued_job_is_claimed() {
    let mut case = Case::queued().claimed();

    let second = case
        .job
        .claim(&holder("b", 1), &reach(), &Terms::default(), case.now);

    assert_eq!(second, Err(Refusal::NotFound));
}

#[test]
fn a_process_that_repeats_its_predecessors_nonce_has_the_claim() {
    let mut case = Case::queued().claimed();

    case.job.reclaim(1, &holder("a", 2), case.now).unwrap();

    assert_eq!(case.last().holder, holder("a", 2));
}
