//! What people ask a server, with as few words as they like.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use api::PipelineId;
use api::PipelineOutcome;
use api::people::PipelineRequest;
use internal_testing::installation::{Installation, Options, REPOSITORY};
use internal_testing::{Daemon, binaries, wait};
use serde_json::Value;

/// One job that succeeds and leaves something, one that fails.
const CONFIG: &str = "\
jobs:
  good:
    steps:
      - run: echo hello from good; echo app > app.txt
      - upload: {source: app.txt, destination: out/app.txt}
  bad:
    steps:
      - run: echo hello from bad; exit 3
";

struct Here {
    installation: Installation,
    _agent: Daemon,
    pipeline: PipelineId,
}

impl Here {
    /// A pipeline that has ended, as CONFIG says.
    async fn new() -> Self {
        let installation = Installation::start(&Options::default());
        let agent = installation.agent("one");
        let pipeline = installation.push(CONFIG).await;
        let view = installation.ended(&pipeline).await;
        assert_eq!(view.summary.outcome, Some(PipelineOutcome::Failed));
        Self {
            installation,
            _agent: agent,
            pipeline,
        }
    }

    fn call_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        command(&self.installation, folder, arguments).output().unwrap()
    }

    /// Calls in a checkout of the commit.
    fn call(&self, arguments: &[&str]) -> Output {
        self.call_in(self.installation.repository.folder(), arguments)
    }
}

fn command(installation: &Installation, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::goatherd());
    command
        .args(arguments)
        .current_dir(folder)
        .env("GOATHERD_URL", installation.url())
        .env("GOATHERD_TOKEN", installation.admin_token().expose());
    command
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn ended(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

#[tokio::test]
async fn the_list_has_what_one_looks_for() {
    let here = Here::new().await;
    let id = here.pipeline.to_string();
    let commit = here.installation.repository.git(&["rev-parse", "HEAD"]);

    let lines = here.call(&["pipelines"]);
    let json = here.call(&["pipelines", "--json", "--repository", REPOSITORY]);
    let none = here.call(&["pipelines", "--repository", "acme/none"]);

    let printed = out(&lines);
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(
        words[..4],
        [id.as_str(), REPOSITORY, "main", &commit.trim()[..12]]
    );
    assert_eq!(words[5], "failed");
    let one: Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(
        (one["id"].as_str(), one["outcome"].as_str()),
        (Some(id.as_str()), Some("failed"))
    );
    assert_eq!(out(&none), "");
    ended(&none, 0);
}

#[tokio::test]
async fn logs_need_no_id_where_there_is_one_answer() {
    let here = Here::new().await;
    let id = here.pipeline.as_str();
    let elsewhere = tempfile::tempdir().unwrap();

    let all = here.call(&["logs"]);
    let job = here.call(&["logs", "good"]);
    let prefix = here.call(&["logs", &id[..7], "good"]);
    let failed = here.call(&["logs", "--failed"]);
    let outside = here.call_in(elsewhere.path(), &["logs", "bad"]);
    let unknown = here.call(&["logs", "nothing-like-it"]);
    let no_job = here.call(&["logs", id, "goad"]);

    assert!(
        err(&all).contains(&format!("pipeline {id} ({REPOSITORY} main ")),
        "{all:?}"
    );
    assert!(err(&all).contains("the newest of this commit"), "{all:?}");
    let printed = out(&all);
    for text in [
        "==> good: succeeded <==\n",
        "hello from good\n",
        "==> bad: failed: a step exited with code 3 <==\n",
        "hello from bad\n",
    ] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    let printed = out(&job);
    assert!(
        printed.contains("hello from good\n") && !printed.contains("==>") && !printed.contains("bad"),
        "{printed}"
    );
    assert_eq!(out(&prefix), out(&job));
    assert_eq!(err(&prefix), "");
    let printed = out(&failed);
    assert!(
        printed.contains("hello from bad") && !printed.contains("good"),
        "{printed}"
    );
    assert!(err(&outside).contains("the newest of this server"), "{outside:?}");
    assert!(out(&outside).contains("hello from bad"), "{outside:?}");
    for output in [&all, &job, &prefix, &failed, &outside] {
        ended(output, 0);
    }
    ended(&unknown, 1);
    assert!(
        err(&unknown).contains("there is no pipeline nothing-like-it"),
        "{unknown:?}"
    );
    ended(&no_job, 1);
    assert!(err(&no_job).contains("it has: good, bad"), "{no_job:?}");
}

#[tokio::test]
async fn following_ends_as_the_pipeline_or_the_job_does() {
    let here = Here::new().await;

    let pipeline = here.call(&["logs", "-f"]);
    let good = here.call(&["logs", "-f", "good"]);
    let bad = here.call(&["logs", "--follow", here.pipeline.as_str(), "bad", "--json"]);
    let so_far = here.call(&["logs", "--json"]);
    let follow = here.call(&["follow"]);

    ended(&pipeline, 1);
    ended(&good, 0);
    assert!(out(&good).contains("hello from good") && !out(&good).contains("hello from bad"));
    ended(&bad, 1);
    let events: Vec<Value> = out(&bad)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(events.iter().all(|event| event["job"] == "bad"), "{events:?}");
    ended(&so_far, 0);
    assert!(out(&so_far).lines().last().unwrap().contains("pipeline.finished"));
    ended(&follow, 1);
}

#[tokio::test]
async fn artifacts_are_listed_and_fetched() {
    let here = Here::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let short = &here.pipeline.as_str()[..8];

    let list = here.call(&["artifacts"]);
    let json = here.call(&["artifacts", "--json", short, "good"]);
    let none = here.call(&["artifacts", "bad"]);
    let got = here.call_in(
        elsewhere.path(),
        &["artifacts", "get", short, "good", "out/app.txt"],
    );
    let as_before = here.call_in(
        elsewhere.path(),
        &[
            "artifact",
            "get",
            here.pipeline.as_str(),
            "good",
            "out/app.txt",
            "-o",
            "-",
        ],
    );

    let printed = out(&list);
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(words[..3], ["good", "out/app.txt", "4"]);
    let one: Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(
        (one["job"].as_str(), one["name"].as_str(), one["size"].as_u64()),
        (Some("good"), Some("out/app.txt"), Some(4))
    );
    assert_eq!(out(&none), "");
    assert!(err(&none).contains("there are no artifacts"), "{none:?}");
    ended(&got, 0);
    assert_eq!(
        std::fs::read_to_string(elsewhere.path().join("app.txt")).unwrap(),
        "app\n"
    );
    assert_eq!(out(&as_before), "app\n");
}

#[tokio::test]
async fn what_failed_runs_again_alone() {
    let here = Here::new().await;

    let again = here.call(&["rerun", "--failed"]);
    let followed = here.call(&["rerun", here.pipeline.as_str(), "--follow"]);

    ended(&again, 0);
    assert!(err(&again).contains("the newest of this commit"), "{again:?}");
    let id = PipelineId::new(out(&again).trim()).unwrap();
    assert_ne!(id, here.pipeline);
    let view = here.installation.ended(&id).await;
    let names: Vec<&str> = view.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["bad"]);
    ended(&followed, 1);
    assert!(out(&followed).contains("hello from good"), "{followed:?}");
}

#[tokio::test]
async fn only_what_runs_is_cancelled_and_only_where_it_is_clear() {
    let here = Here::new().await;
    let nothing = here.call(&["cancel"]);
    let config = format!(
        "jobs: {{wait: {{steps: [run: '{}']}}}}\n",
        here.installation.wait_at_gate("go")
    );
    let one = here.installation.push(&config).await;
    let again = here.call(&["rerun"]);
    let request = PipelineRequest {
        repository: REPOSITORY.to_owned(),
        commit: here
            .installation
            .repository
            .git(&["rev-parse", "HEAD"])
            .trim()
            .to_owned(),
        reference: "refs/heads/main".to_owned(),
        jobs: Vec::new(),
    };
    let client = here.installation.client();
    let two = client.start_pipeline(&request).await.unwrap().pipeline;

    let unclear = here.call(&["cancel", "--why", "enough"]);
    let by_name = here.call(&["cancel", "--why", "enough", &one.as_str()[..9]]);
    let first = here.installation.ended(&one).await;
    let the_other = here.call(&["cancel"]);
    let second = here.installation.ended(&two).await;

    ended(&nothing, 1);
    assert!(
        err(&nothing).contains("no pipeline of this repository runs"),
        "{nothing:?}"
    );
    ended(&again, 1);
    assert!(err(&again).contains("still runs"), "{again:?}");
    ended(&unclear, 2);
    for id in [&one, &two] {
        assert!(err(&unclear).contains(id.as_str()), "{unclear:?}");
    }
    ended(&by_name, 0);
    assert_eq!(first.summary.outcome, Some(PipelineOutcome::Cancelled));
    ended(&the_other, 0);
    assert!(
        err(&the_other).contains("the only one of this commit that runs"),
        "{the_other:?}"
    );
    assert_eq!(second.summary.outcome, Some(PipelineOutcome::Cancelled));
    ended(&here.call(&["follow", two.as_str()]), 6);
}

#[tokio::test]
async fn what_has_ended_is_said_to_have_when_it_is_cancelled() {
    let here = Here::new().await;
    let id = here.pipeline.as_str();
    let config = format!(
        "jobs: {{wait: {{steps: [run: '{}']}}, other: {{steps: [run: 'true']}}}}\n",
        here.installation.wait_at_gate("go")
    );
    let running = here.installation.push(&config).await;
    let client = here.installation.client();
    wait::until_async("the jobs to be known", Duration::from_secs(30), || async {
        let view = client.pipeline(&running).await.unwrap();
        (!view.jobs.is_empty()).then_some(())
    })
    .await;

    let pipeline = here.call(&["cancel", id]);
    let failed = here.call(&["cancel", id, "bad"]);
    let unknown = here.call(&["cancel", id, "none"]);
    let job = here.call(&["cancel", running.as_str(), "wait"]);
    let view = here.installation.ended(&running).await;
    let again = here.call(&["cancel", running.as_str(), "wait"]);
    let whole = here.call(&["cancel", running.as_str()]);

    ended(&pipeline, 1);
    assert!(
        err(&pipeline).contains(&format!("pipeline {id} has ended already: failed")),
        "{pipeline:?}"
    );
    ended(&failed, 1);
    assert!(err(&failed).contains("job `bad` of pipeline"), "{failed:?}");
    assert!(err(&failed).contains("has ended already: failed"), "{failed:?}");
    ended(&unknown, 1);
    assert!(err(&unknown).contains("it has: good, bad"), "{unknown:?}");
    ended(&job, 0);
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Cancelled));
    ended(&again, 0);
    assert!(err(&again).contains("has ended already: cancelled"), "{again:?}");
    ended(&whole, 0);
    assert!(err(&whole).contains("has ended already: cancelled"), "{whole:?}");
}

#[tokio::test]
async fn ctrl_c_ends_what_follows_also_where_nobody_reads_it() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    // More than a pipe holds.
    let pipeline = installation
        .push("jobs: {much: {steps: [run: seq 100000]}}\n")
        .await;
    installation.ended(&pipeline).await;
    for arguments in [
        ["follow", pipeline.as_str()].as_slice(),
        &["follow", "--json", pipeline.as_str()],
        &["logs", "-f", pipeline.as_str()],
    ] {
        let mut child = command(&installation, installation.repository.folder(), arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();

        let sent = Command::new("kill")
            .args(["-s", "INT", &child.id().to_string()])
            .status();

        assert!(sent.unwrap().success());
        let status = wait::until("the end", Duration::from_secs(10), || child.try_wait().unwrap());
        assert_eq!(status.signal(), Some(2), "{arguments:?}: {status:?}");
    }
}
