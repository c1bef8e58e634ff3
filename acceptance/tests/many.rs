//! Many pipelines at once, and agents that come and go: nothing is lost, nothing runs twice, and no repository
//! waits behind another's.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::people::PipelineView;
use api::{Outcome, PipelineId, PipelineOutcome};
use internal_testing::installation::REPOSITORY;
use internal_testing::{Installation, Options, wait};

/// The repository that is not [`REPOSITORY`].
const SECOND: &str = "acme/lib";
/// How long the longest of these may take on a machine that has other work too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A pipeline of one job that says `run NUMBER`.
fn says(number: usize) -> String {
    format!("jobs:\n  work:\n    steps:\n      - run: echo run {number}\n")
}

/// Pushes so many, each with its number.
async fn push(installation: &Installation, count: usize) -> Vec<PipelineId> {
    let mut pipelines = Vec::new();
    for number in 0..count {
        pipelines.push(installation.push(&says(number)).await);
    }
    pipelines
}

/// How many of these have ended.
async fn ended(installation: &Installation, pipelines: &[PipelineId]) -> usize {
    let mut count = 0;
    for pipeline in pipelines {
        let view = installation.pipeline(pipeline).await;
        count += usize::from(view.summary.outcome.is_some());
    }
    count
}

/// Waits until so many of these have ended.
async fn until_ended(installation: &Installation, pipelines: &[PipelineId], count: usize) {
    let what = format!("{count} of {} pipelines to end", pipelines.len());
    wait::until_async(&what, PATIENCE, || async {
        (ended(installation, pipelines).await >= count).then_some(())
    })
    .await;
}

/// Each succeeded, and its step ran exactly once, whatever became of earlier attempts.
async fn assert_each_ran_once(installation: &Installation, pipelines: &[PipelineId]) {
    for (number, pipeline) in pipelines.iter().enumerate() {
        let view = installation.pipeline(pipeline).await;
        assert_eq!(
            view.summary.outcome,
            Some(PipelineOutcome::Succeeded),
            "{view:#?}"
        );
        let attempts = &view.jobs[0].attempts;
        let began = attempts.iter().filter(|attempt| !attempt.steps.is_empty());
        assert_eq!(began.count(), 1, "{view:#?}");
        let output = installation.output(pipeline).await;
        let said = output.matches(&format!("\nrun {number}\n")).count();
        assert_eq!(said, 1, "{output}");
    }
}

/// The most places that there were at once, looked at while `work` goes on.
async fn most_places(installation: &Installation, work: impl Future<Output = ()>) -> usize {
    let mut work = Box::pin(work);
    let mut most = 0;
    loop {
        tokio::select! {
            () = &mut work => return most,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                most = most.max(installation.places());
            }
        }
    }
}

#[tokio::test]
async fn a_hundred_pipelines_on_four_slots_run_once_each() {
    let installation = Installation::start(&Options::default());
    let pipelines = push(&installation, 100).await;
    let agent = installation.agent_with("one", &["--slots", "4"]);
    wait::until("the agent to be ready", PATIENCE, || {
        agent.log().contains("ready for tasks").then_some(())
    });

    let begun = Instant::now();
    let most = most_places(&installation, until_ended(&installation, &pipelines, 100)).await;
    println!("100 pipelines in {:?}, {most} places at most", begun.elapsed());

    assert!((1..=4).contains(&most), "{most} places at once");
    assert_each_ran_once(&installation, &pipelines).await;
    installation.places_gone();
}

#[tokio::test]
async fn ten_pipelines_of_jobs_that_need_each_other_run_in_their_order() {
    let installation = Installation::start(&Options {
        dev: true,
        ..Options::default()
    });
    let config = "jobs:\n  first:\n    steps: [run: echo first]\n  left:\n    requires: first\n    steps: [run: echo left]\n  \
                  right:\n    requires: first\n    steps: [run: echo right]\n  last:\n    requires: [left, right]\n    \
                  steps: [run: echo last]\n";
    let mut pipelines = Vec::new();
    for _ in 0..10 {
        pipelines.push(installation.push(config).await);
    }

    until_ended(&installation, &pipelines, 10).await;

    for pipeline in &pipelines {
        let view = installation.pipeline(pipeline).await;
        assert_eq!(view.jobs.len(), 4, "{view:#?}");
        for job in &view.jobs {
            assert_eq!(job.outcome, Some(Outcome::Succeeded), "{view:#?}");
            assert_eq!(job.attempts.len(), 1, "{view:#?}");
        }
        let output = installation.output(pipeline).await;
        let at = |word: &str| output.find(&format!("\n{word}\n")).expect(word);
        assert!(at("first") < at("left").min(at("right")), "{output}");
        assert!(at("left").max(at("right")) < at("last"), "{output}");
    }
}

#[tokio::test]
async fn agents_that_come_and_go_lose_nothing_and_repeat_nothing() {
    let installation = Installation::start(&Options::default());
    let slots = ["--slots", "2"];
    let mut one = installation.agent_with("one", &slots);
    let mut two = installation.agent_with("two", &slots);
    let pipelines = push(&installation, 40).await;

    until_ended(&installation, &pipelines, 5).await;
    one.kill();
    until_ended(&installation, &pipelines, 10).await;
    assert!(two.stop().success(), "{}", two.log());
    one = installation.agent_with("one", &slots);
    until_ended(&installation, &pipelines, 15).await;
    two = installation.agent_with("two", &slots);
    one.kill();
    // One that was never there before, and none that was: it takes over what they left.
    let _three = installation.agent_with("three", &slots);
    until_ended(&installation, &pipelines, 20).await;
    two.kill();

    until_ended(&installation, &pipelines, 40).await;
    assert_each_ran_once(&installation, &pipelines).await;
    installation.places_gone();
}

/// The repositories in the order in which their jobs were claimed.
async fn claims(
    installation: &Installation,
    repositories: &BTreeMap<String, &'static str>,
) -> Vec<&'static str> {
    let client = installation.client();
    let (mut claims, mut after) = (Vec::new(), 0);
    loop {
        let entries = client.audit(after).await.unwrap();
        let Some(last) = entries.last() else {
            return claims;
        };
        after = last.number;
        for entry in entries.iter().filter(|entry| entry.action == "attempt.claimed") {
            let (task, _) = entry.subject.rsplit_once('.').unwrap();
            claims.push(repositories[task]);
        }
    }
}

async fn queued(installation: &Installation, pipeline: &PipelineId) -> PipelineView {
    let is_queued = |view: &PipelineView| {
        let all = !view.jobs.is_empty() && view.jobs.iter().all(|job| job.state == "queued");
        all.then(|| view.clone())
    };
    installation
        .wait_for("the job to be queued", pipeline, is_queued)
        .await
}

#[tokio::test]
async fn a_repository_with_few_jobs_does_not_wait_behind_one_with_many() {
    let installation = Installation::start(&Options {
        others: vec![SECOND],
        ..Options::default()
    });
    let config = format!(
        "jobs:\n  work:\n    steps:\n      - run: {}\n",
        installation.wait_at_gate("go")
    );
    let (mut pipelines, mut repositories) = (Vec::new(), BTreeMap::new());
    for (repository, count) in [(REPOSITORY, 20), (SECOND, 3)] {
        for _ in 0..count {
            let pipeline = installation.push_to(repository, &config).await;
            let view = queued(&installation, &pipeline).await;
            repositories.insert(view.jobs[0].task.to_string(), repository);
            pipelines.push(pipeline);
        }
    }

    let _agent = installation.agent_with("one", &["--slots", "4"]);
    let claimed = wait::until_async("four claims", PATIENCE, || async {
        let claims = claims(&installation, &repositories).await;
        (claims.len() == 4).then_some(claims)
    })
    .await;
    assert_eq!(claimed, [REPOSITORY, SECOND, REPOSITORY, SECOND]);
    installation.open_gate("go");
    until_ended(&installation, &pipelines, pipelines.len()).await;

    let claims = claims(&installation, &repositories).await;
    assert_eq!(claims.len(), pipelines.len(), "each was claimed once");
    let last = claims
        .iter()
        .rposition(|repository| *repository == SECOND)
        .unwrap();
    assert!(last < 10, "{claims:?}");
}
