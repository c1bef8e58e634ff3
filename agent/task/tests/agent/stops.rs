//! What stops the steps from outside.

use api::operation::When;
use api::runner::presence::CancelOrder;
use api::runner::task::Stream;
use api::{Cause, Millis, Outcome};

use crate::harness::{Agent, is_alive, pid_in, run, task, until, when};
use crate::server::{AtBegan, FakeServer, Seen};

const WAIT: &str = "echo $$ > pid; trap 'echo cleaning up; exit 0' TERM; echo ready; \
                    while :; do sleep 0.05; done";
const STUBBORN: &str = "echo $$ > pid; trap '' TERM; echo ready; while :; do sleep 0.05; done";

fn ready(server: &FakeServer) {
    drop(server.wait("the step runs", |facts| {
        facts.output(0, Stream::Stdout).starts_with(b"ready")
    }));
}

#[test]
fn a_cancel_lets_the_step_clean_up_and_runs_nothing_more() {
    let server = FakeServer::start(task(vec![run(WAIT), when(When::Always, "echo never")]));
    let mut agent = Agent::start(&server);
    ready(&server);

    server.facts().cancel = Some(CancelOrder {
        by: "ada".to_owned(),
        why: "a better one is on its way".to_owned(),
    });

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::Cancelled);
    assert_eq!(
        record.cause,
        Some(Cause::Cancelled {
            by: "ada".to_owned(),
            why: "a better one is on its way".to_owned()
        })
    );
    assert_eq!(facts.text(0, Stream::Stdout), "ready\ncleaning up\n");
    assert!(!facts.seen.contains(&Seen::Began(1)));
}

#[test]
fn a_step_that_ignores_term_is_killed_after_the_grace() {
    let server = FakeServer::start(task(vec![run(STUBBORN)]));
    let mut agent = Agent::start(&server);
    ready(&server);

    server.facts().cancel = Some(CancelOrder {
        by: "ada".to_owned(),
        why: String::new(),
    });

    assert_eq!(agent.end().code(), Some(0));
    assert!(!is_alive(pid_in(&agent.project().join("pid"))));
    let facts = server.facts();
    assert_eq!(
        facts.record.as_ref().expect("a record").steps[0].end.signal,
        Some(9)
    );
}

#[test]
fn a_beginning_that_is_refused_cancels_the_job() {
    let server = FakeServer::start(task(vec![run("touch ../ran")]));
    {
        let mut facts = server.facts();
        facts.at_began = Some(AtBegan::Refuse);
        facts.cancel = Some(CancelOrder {
            by: "ada".to_owned(),
            why: String::new(),
        });
    }

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(
        record.cause,
        Some(Cause::Cancelled {
            by: "ada".to_owned(),
            why: String::new()
        })
    );
    assert!(!agent.home().join("ran").exists());
}

#[test]
fn the_jobs_limit_stops_the_step_and_names_it() {
    let mut task = task(vec![run("sleep 1000"), when(When::Always, "echo never")]);
    task.time_limit = Millis(60_500);
    task.time_used = Millis(60_000);
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::TimedOut);
    assert_eq!(
        record.cause,
        Some(Cause::Timeout {
            step: Some("run sleep".to_owned()),
            limit: Millis(60_500)
        })
    );
}

#[test]
fn a_server_that_stays_away_costs_the_steps_and_hears_why() {
    let mut task = task(vec![run(WAIT)]);
    task.terms.lease_after = Millis::seconds(3);
    let mut server = FakeServer::start(task);
    let mut agent = Agent::start(&server);
    ready(&server);
    let pid = pid_in(&agent.project().join("pid"));

    server.vanish();
    until("the step is gone", || (!is_alive(pid)).then_some(()));
    server.return_again();

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::InfraFailed);
    assert!(
        matches!(record.cause, Some(Cause::ContactLost { seconds: 2..=5 })),
        "{:?}",
        record.cause
    );
    assert_eq!(facts.text(0, Stream::Stdout), "ready\ncleaning up\n");
}

#[test]
fn a_server_that_is_back_within_the_lease_costs_nothing() {
    let mut server = FakeServer::start(task(vec![run(
        "touch on; until test -e off; do sleep 0.05; done",
    )]));
    let mut agent = Agent::start(&server);
    let project = agent.project();
    until("the step runs", || project.join("on").exists().then_some(()));

    server.vanish();
    // With their pauses that is 3 to 7 s: more than the lease before the step began, less than the one after.
    until("seven heartbeats were not answered", || {
        (agent.log().matches("a heartbeat was not answered").count() >= 7).then_some(())
    });
    server.return_again();
    std::fs::write(project.join("off"), "").expect("written");

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(
        facts.record.as_ref().expect("a record").outcome,
        Outcome::Succeeded
    );
}

#[test]
fn a_step_whose_beginning_nobody_took_never_runs_and_is_never_reported() {
    let mut server = FakeServer::start(task(vec![run("touch ../ran")]));
    let folder = tempfile::tempdir().expect("a folder");
    server.facts().at_began = Some(AtBegan::Late(folder.path().join("never")));
    let mut agent = Agent::start(&server);
    drop(server.wait("the first phase", |facts| !facts.seen.is_empty()));

    server.vanish();
    until("the shorter lease is over", || {
        agent.log().contains("stop=ContactLost").then_some(())
    });
    server.facts().at_began = None;
    server.return_again();

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert!(
        matches!(record.cause, Some(Cause::ContactLost { .. })),
        "{:?}",
        record.cause
    );
    assert!(!facts.seen.contains(&Seen::Began(0)), "{:?}", facts.seen);
    assert!(!agent.home().join("ran").exists());
}

#[test]
fn an_attempt_that_is_over_kills_the_steps_at_once() {
    let server = FakeServer::start(task(vec![run(STUBBORN)]));
    let mut agent = Agent::start(&server);
    ready(&server);
    let pid = pid_in(&agent.project().join("pid"));

    server.facts().gone = true;

    assert_eq!(agent.end().code(), Some(3));
    assert!(!is_alive(pid));
    assert!(server.facts().record.is_none());
    assert!(
        agent
            .log()
            .ends_with("circleci-agent: this attempt is over (410): all that it ran is killed\n")
    );
    assert!(agent.left_nothing());
}

#[test]
fn an_attempt_that_is_over_before_it_starts_runs_nothing() {
    let server = FakeServer::start(task(vec![run("touch ../ran")]));
    server.facts().gone = true;

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(3));
    assert!(!agent.home().join("ran").exists());
}

#[test]
fn term_ends_the_steps_and_the_record_says_that_nobody_knows_why() {
    let server = FakeServer::start(task(vec![run(WAIT), when(When::Always, "echo never")]));
    let mut agent = Agent::start(&server);
    ready(&server);

    agent.signal("-TERM");
    agent.signal("-TERM");

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::InfraFailed);
    assert_eq!(
        record.cause,
        Some(Cause::Deleted {
            by: "unknown".to_owned()
        })
    );
    assert_eq!(facts.text(0, Stream::Stdout), "ready\ncleaning up\n");
}
