//! Claims: each job once, each nonce one answer.

use std::collections::BTreeSet;

use api::{Millis, Outcome, Terms};
use store::{Refusal, Settings};

use super::bench::{AgentBench, Bench, CLASS, TaskBench, plan, planned, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_job_is_claimed_once_by_many_at_once() {
    let bench = Bench::new().await;
    let names: Vec<String> = (0..40).map(|number| format!("job-{number}")).collect();
    let jobs: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    bench.started(plan(&jobs)).await;
    let mut claimers = tokio::task::JoinSet::new();

    for number in 0..8 {
        let mut agent = AgentBench::new(&bench, &format!("agent-{number}"));
        claimers.spawn(async move {
            let mut claimed = Vec::new();
            while let Some(claim) = agent.claim().await {
                claimed.push(claim.attempt);
            }
            claimed
        });
    }
    let claimed: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();

    assert_eq!(claimed.len(), 40);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 40);
    assert!(claimed.iter().all(|attempt| attempt.number == 1));
}

#[tokio::test]
async fn the_same_nonce_gets_the_same_claim_also_after_a_restart() {
    let bench = Bench::new().await;
    bench.started(plan(&[("a", &[]), ("b", &[]), ("c", &[])])).await;
    let mut agent = AgentBench::new(&bench, "a");
    agent.claim().await.unwrap();
    let second = agent.claim().await.unwrap();

    let again = bench.store.claim(CLASS, &agent.request()).await.unwrap().unwrap();
    let bench = bench.restart().await;
    let after = bench.store.claim(CLASS, &agent.request()).await.unwrap().unwrap();
    agent.nonce = 1;
    let lower = bench.store.claim(CLASS, &agent.request()).await.unwrap();

    assert_eq!(again.as_ref(), Some(&second));
    assert_eq!(after.as_ref(), Some(&second));
    assert_eq!(lower, Err(Refusal::Gone));
    assert_eq!(bench.store.attempt_of_token(&second.token), Some(second.attempt));
}

#[tokio::test]
async fn a_nonce_that_waits_gets_what_comes_and_a_closed_one_gets_nothing_more() {
    let bench = Bench::new().await;
    let mut agent = AgentBench::new(&bench, "a");
    agent.nonce = 1;
    let store = &bench.store;
    assert_eq!(store.claim(CLASS, &agent.request()).await.unwrap(), Ok(None));
    let mut changes = store.changes();
    changes.mark_unchanged();

    // Asking again is no news, or waiting agents would wake each other for ever.
    assert_eq!(store.claim(CLASS, &agent.request()).await.unwrap(), Ok(None));
    assert!(!changes.has_changed().unwrap());
    assert_eq!(
        store.close_nonce(CLASS, &agent.request()).await.unwrap(),
        Ok(None)
    );
    bench.started(plan(&[("a", &[])])).await;

    assert!(changes.has_changed().unwrap());
    assert_eq!(store.claim(CLASS, &agent.request()).await.unwrap(), Ok(None));
    agent.nonce = 2;
    assert!(
        store
            .claim(CLASS, &agent.request())
            .await
            .unwrap()
            .unwrap()
            .is_some()
    );
    agent.nonce = 1;
    assert_eq!(
        store.claim(CLASS, &agent.request()).await.unwrap(),
        Err(Refusal::Gone)
    );
}

#[tokio::test]
async fn a_claim_that_never_arrived_is_given_back_by_the_next_nonce() {
    let bench = Bench::new().await;
    let pipeline = bench.started(plan(&[("a", &[])])).await;
    let mut agent = AgentBench::new(&bench, "a");
    let lost = agent.claim().await.unwrap();
    agent.holds.clear();

    let next = agent.claim().await.unwrap();

    assert_eq!(next.attempt.task, lost.attempt.task);
    assert_eq!(next.attempt.number, 2);
    let job = bench.job(&pipeline, "a").await;
    assert_eq!(job.attempts[0].outcome, Some(Outcome::InfraFailed));
    assert!(bench.actions().await.contains(&"attempt.requeued".to_owned()));
}

#[tokio::test]
async fn a_claim_that_the_agent_holds_goes_on_beside_the_next() {
    let bench = Bench::new().await;
    bench.started(plan(&[("a", &[]), ("b", &[])])).await;
    let mut agent = AgentBench::new(&bench, "a");

    let first = agent.claim().await.unwrap();
    let second = agent.claim().await.unwrap();

    assert_ne!(first.attempt.task, second.attempt.task);
    assert!(agent.claim().await.is_none());
}

#[tokio::test]
async fn an_agent_gets_jobs_of_its_class_alone() {
    let bench = Bench::new().await;
    let mut jobs = plan(&[("small", &[]), ("large", &[])]);
    jobs.jobs[0].resource_class = Some("small".to_owned());
    bench.started(jobs).await;
    let mut agent = AgentBench::new(&bench, "a");

    assert_eq!(agent.claim().await.unwrap().job, "large");
    assert!(agent.claim().await.is_none());
}

#[tokio::test]
async fn a_busy_repository_does_not_hold_up_another_one() {
    let bench = Bench::new().await;
    bench
        .started_for("busy", plan(&[("a", &[]), ("b", &[]), ("c", &[])]))
        .await;
    let quiet = bench.started_for("quiet", plan(&[("a", &[])])).await;
    let mut agent = AgentBench::new(&bench, "a");

    agent.claim().await.unwrap();
    let second = agent.claim().await.unwrap();

    assert!(second.attempt.task.as_str().starts_with(quiet.as_str()));
}

#[tokio::test]
async fn an_attempt_keeps_the_terms_that_it_was_given() {
    let bench = Bench::new().await;
    bench.started(plan(&[("a", &[]), ("b", &[])])).await;
    let mut agent = AgentBench::new(&bench, "a");
    let before = agent.claim().await.unwrap();
    let other = Settings {
        terms: Terms {
            grace: Millis(1),
            ..Terms::default()
        },
        ..settings()
    };

    let bench = bench.restart_with(other).await;
    agent.store = bench.store.clone();
    let task = TaskBench::new(&bench, &before.attempt);
    let fetched = bench
        .store
        .task(&before.attempt, task.instance)
        .await
        .unwrap()
        .unwrap();
    let after = agent.claim().await.unwrap();

    assert_eq!(before.terms, Terms::default());
    assert_eq!(fetched.terms, Terms::default());
    assert_eq!(after.terms.grace, Millis(1));
}

#[tokio::test]
async fn a_claim_says_what_its_place_needs() {
    let bench = Bench::new().await;
    let mut job = planned("a", &[]);
    job.time_limit = Some(Millis(5));
    bench.started(api::Plan { jobs: vec![job] }).await;

    let claim = AgentBench::new(&bench, "a").claim().await.unwrap();

    assert_eq!(claim.image.as_deref(), Some("debian"));
    assert_eq!(claim.time_limit, Millis(5));
    assert_eq!(claim.installation, bench.store.installation());
    assert!(claim.token == bench.store.task_token(&claim.attempt));
}
