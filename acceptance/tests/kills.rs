//! Who is killed, and how the job ends: the table of the same name in docs/task-lifecycle.md, row by row, with
//! the shipped binaries, the local driver and short terms.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use api::people::{JobView, PipelineView};
use api::{Cause, Outcome, Phase, PipelineId, PipelineOutcome};
use internal_testing::installation::{PATIENCE, only_job};
use internal_testing::processes::{self, Place};
use internal_testing::{Daemon, Installation, Options, Repository, binaries, wait};

/// A job that says `begun` (in a way that the step's header does not), waits at the gate `go`, and says `ended`.
fn waiting_job(installation: &Installation) -> String {
    format!(
        "jobs:\n  work:\n    steps:\n      - run: |\n          printf 'be%s\\n' gun\n          {}\n          echo ended\n",
        installation.wait_at_gate("go")
    )
}

/// A pipeline whose only job has begun its step.
async fn begun(installation: &Installation) -> PipelineId {
    let pipeline = installation.push(&waiting_job(installation)).await;
    installation.logged(&pipeline, "begun").await;
    pipeline
}

fn place(installation: &Installation) -> Place {
    wait::until("a place with all its processes", PATIENCE, || {
        processes::place(&installation.place_root())
    })
}

fn assert_ended(view: &PipelineView, outcome: Outcome) -> &JobView {
    let job = only_job(view);
    assert_eq!(job.outcome, Some(outcome), "{job:#?}");
    job
}

/// Nothing of a task is left once its place was removed.
fn assert_nothing_left(installation: &Installation) {
    installation.places_gone();
}

#[tokio::test]
async fn nobody_killed_is_its_own_outcome() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let pipeline = begun(&installation).await;

    installation.open_gate("go");

    let view = installation.ended(&pipeline).await;
    assert_ended(&view, Outcome::Succeeded);
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn server_killed_and_started_again_is_its_own_outcome_with_all_its_log() {
    let mut installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let go = installation.wait_at_gate("go");
    let counting = format!("for i in $(seq 1 2000); do echo \"line $i\"; [ $i != 1000 ] || {go}; done");
    let pipeline = installation
        .push(&format!(
            "jobs:\n  work:\n    steps:\n      - run: |\n          {counting}\n"
        ))
        .await;
    installation.logged(&pipeline, "line 1000\n").await;

    installation.kill_server();
    installation.open_gate("go");
    installation.start_server();

    let view = installation.ended(&pipeline).await;
    assert_ended(&view, Outcome::Succeeded);
    let output = installation.output(&pipeline).await;
    let expected: String = (1..=2000).map(|line| format!("line {line}\n")).collect();
    assert!(
        output.ends_with(&expected),
        "lines are missing or doubled:\n{output}"
    );
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn server_killed_for_longer_is_contact_lost_once_it_is_back() {
    let mut installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let pipeline = begun(&installation).await;
    let task_agent = place(&installation).task_agent;

    installation.kill_server();
    // The task agent kills its steps by itself, within its lease.
    wait::until("the steps to be killed", PATIENCE, || {
        processes::children(task_agent)
            .into_iter()
            .all(|pid| !processes::runs(pid))
            .then_some(())
    });
    installation.start_server();

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::InfraFailed);
    assert!(matches!(job.cause, Some(Cause::ContactLost { .. })), "{job:#?}");
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn agent_killed_and_started_again_is_its_own_outcome() {
    let installation = Installation::start(&Options::default());
    let agent = installation.agent("one");
    let pipeline = begun(&installation).await;

    agent.kill();
    let _again = installation.agent("one");
    installation.open_gate("go");

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::Succeeded);
    assert_eq!(job.attempts.len(), 1, "{job:#?}");
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn agent_killed_before_the_first_call_and_never_again_is_requeued_as_agent_lost() {
    let installation = Installation::start(&Options::default());
    // A task agent that comes to its first call only through the gate.
    let slow = installation.folder().join("slow");
    let gated = installation.wait_at_gate("first-call");
    slow_binaries(&slow, &gated);
    let folder = slow.to_str().unwrap();
    let agent = installation.agent_with("one", &["--bin-dir", folder, "--expose", folder]);
    let pipeline = installation.push(&waiting_job(&installation)).await;
    let starting = |view: &PipelineView| {
        let attempt = view.jobs.first()?.attempts.first()?;
        (attempt.phase >= Phase::Starting).then_some(())
    };
    installation
        .wait_for("the place to start", &pipeline, starting)
        .await;

    agent.kill();
    let requeued = installation.wait_for("the attempt to be lost", &pipeline, |view| {
        let attempt = view.jobs.first()?.attempts.first()?;
        attempt.outcome.is_some().then(|| attempt.clone())
    });
    let attempt = requeued.await;
    let _other = installation.agent("two");
    installation.open_gate("go");
    installation.open_gate("first-call");

    assert_eq!(attempt.cause, Some(Cause::AgentLost), "{attempt:#?}");
    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::Succeeded);
    assert_eq!(job.attempts.len(), 2, "{job:#?}");
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn agent_killed_later_and_never_again_is_its_own_outcome_and_another_removes_the_place() {
    let installation = Installation::start(&Options::default());
    let agent = installation.agent("one");
    let pipeline = begun(&installation).await;

    agent.kill();
    installation.open_gate("go");

    let view = installation.ended(&pipeline).await;
    assert_ended(&view, Outcome::Succeeded);
    let _other = installation.agent("two");
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn goat_killed_is_supervisor_lost_with_the_signal() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let pipeline = begun(&installation).await;

    processes::signal(place(&installation).goat, "KILL");

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::InfraFailed);
    assert_eq!(
        job.cause,
        Some(Cause::SupervisorLost { signal: Some(9) }),
        "{job:#?}"
    );
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn sandbox_killed_is_supervisor_lost_with_the_signal() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let pipeline = begun(&installation).await;

    processes::signal(place(&installation).sandbox, "KILL");

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::InfraFailed);
    assert_eq!(
        job.cause,
        Some(Cause::SupervisorLost { signal: Some(9) }),
        "{job:#?}"
    );
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn a_term_to_the_first_process_is_told_with_its_sender() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");

    let pipeline = installation
        .push("jobs:\n  work:\n    steps: [{run: 'kill -TERM 1; sleep 60'}]\n")
        .await;

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::InfraFailed);
    let Some(Cause::Deleted { by }) = &job.cause else {
        panic!("{job:#?}")
    };
    assert!(by.starts_with("SIGTERM from process "), "{by}");
    assert!(by.contains("sh (uid 1000) of the task"), "{by}");
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn task_agent_killed_is_task_agent_lost_with_the_signal() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let pipeline = begun(&installation).await;

    processes::signal(place(&installation).task_agent, "KILL");

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::InfraFailed);
    assert_eq!(
        job.cause,
        Some(Cause::TaskAgentLost { signal: Some(9) }),
        "{job:#?}"
    );
    assert_nothing_left(&installation);
}

#[tokio::test]
async fn step_killed_is_failed_with_the_signal() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let pipeline = begun(&installation).await;
    let task_agent = place(&installation).task_agent;
    let step = wait::until("the step's shell", PATIENCE, || {
        processes::children(task_agent)
            .into_iter()
            .find(|pid| processes::command_line(*pid).contains("sh"))
    });

    processes::signal(step, "KILL");

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::Failed);
    assert_eq!(job.cause, Some(Cause::Signal { n: 9 }), "{job:#?}");
    assert_nothing_left(&installation);
}

/// The shipped binaries, with a task agent that waits for `gate` before it starts.
fn slow_binaries(folder: &std::path::Path, gate: &str) {
    use std::os::unix::fs::PermissionsExt as _;

    let shipped = binaries::folder();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::copy(shipped.join("orchestrator"), folder.join("orchestrator")).unwrap();
    // The real one travels inside the script, because a place gets these two files alone.
    let real = folder.join("real-agent");
    std::fs::copy(shipped.join("circleci-agent"), &real).unwrap();
    let script = format!("#!/bin/sh\n{gate}\nexec {} \"$@\"\n", real.display());
    let path = folder.join("circleci-agent");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// How long a place may take to end with the program whose pipe it holds.
const LIFELINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn dev_server_killed_takes_its_places_with_it_and_says_agent_lost_after_its_restart() {
    let mut installation = Installation::start(&Options {
        dev: true,
        ..Options::default()
    });
    let pipeline = begun(&installation).await;

    installation.kill_server();
    wait::until("the places to end with it", LIFELINE, || {
        processes::sandboxes(installation.folder())
            .is_empty()
            .then_some(())
    });
    installation.start_server();

    let view = installation.ended(&pipeline).await;
    let job = assert_ended(&view, Outcome::InfraFailed);
    assert_eq!(job.cause, Some(Cause::AgentLost), "{job:#?}");
}

#[tokio::test]
async fn goatherd_run_killed_takes_its_places_with_it() {
    let folder = tempfile::Builder::new()
        .prefix("goatherd-test-")
        .tempdir()
        .unwrap();
    let repository = Repository::new(&folder.path().join("repository"));
    repository.commit(
        ".ci.yml",
        "jobs:\n  work:\n    steps:\n      - run: echo begun; sleep 1000\n",
    );
    let mut command = std::process::Command::new(binaries::goatherd());
    command
        .arg("run")
        .arg("--data")
        .arg(folder.path().join("data"))
        // Killed, it leaves its snapshot there.
        .env("TMPDIR", folder.path())
        .current_dir(repository.folder());
    let run = Daemon::start("run", command, folder.path());
    wait::until("the step to begin", PATIENCE, || {
        run.output().contains("begun").then_some(())
    });
    let sandboxes = processes::sandboxes(folder.path());
    assert!(
        !sandboxes.is_empty(),
        "a sandbox names its place on its command line"
    );

    run.kill();

    wait::until("the places to end with it", LIFELINE, || {
        sandboxes.iter().all(|pid| !processes::runs(*pid)).then_some(())
    });
    let places = processes::sandboxes(folder.path());
    assert!(places.is_empty(), "{places:?}");
}
