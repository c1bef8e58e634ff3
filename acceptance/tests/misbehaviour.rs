//! Steps that do what no step should: the job ends all the same, with its own outcome, and leaves nothing; other
//! jobs do not notice.

#![allow(clippy::unwrap_used)]

use api::people::{JobView, PipelineView};
use api::{Cause, Outcome, PipelineId};
use internal_testing::installation::{PATIENCE, only_job};
use internal_testing::{Daemon, Installation, Options, processes, wait};

/// A job of these steps, each a shell script.
fn job(scripts: &[&str]) -> String {
    let steps: String = scripts
        .iter()
        .map(|script| {
            format!(
                "      - run: |\n          {}\n",
                script.replace('\n', "\n          ")
            )
        })
        .collect();
    format!("jobs:\n  work:\n    time_limit: 5s\n    steps:\n{steps}")
}

fn assert_outcome(view: &PipelineView, outcome: Outcome) -> JobView {
    let job = only_job(view);
    assert_eq!(job.outcome, Some(outcome), "{job:#?}");
    assert_eq!(job.attempts.len(), 1, "{job:#?}");
    job.clone()
}

/// The server and its agent still do their work.
async fn assert_healthy(installation: &Installation, agent: &mut Daemon) {
    assert!(agent.ended().is_none(), "the agent ended");
    let pipeline = installation.push(&job(&["echo well"])).await;
    assert_outcome(&installation.ended(&pipeline).await, Outcome::Succeeded);
}

/// Whether anything on this machine has these words on its command line.
fn runs(words: &str) -> bool {
    processes::all()
        .into_iter()
        .any(|pid| processes::command_line(pid).contains(words))
}

#[tokio::test]
async fn what_steps_leave_running_ends_with_the_job_however_it_was_started() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    // Nobody else sleeps for so long.
    let seconds = 1_000_000 + u64::from(std::process::id());
    let script = format!(
        "sleep {seconds} &\n\
         nohup sleep {seconds} >/dev/null 2>&1 &\n\
         setsid sh -c 'setsid sleep {seconds} & exec sleep {seconds}' &\n\
         (trap '' TERM HUP INT; sleep {seconds}) &\n\
         (setsid sh -c '(sleep {seconds} </dev/null >/dev/null 2>&1 &)')\n\
         echo left"
    );
    let pipeline = installation
        .push(&job(&[&script, &installation.wait_at_gate("look")]))
        .await;
    installation.logged(&pipeline, "\nleft\n").await;
    let sleepers = format!("sleep {seconds}");
    assert!(runs(&sleepers), "they go on while the job does");

    installation.open_gate("look");

    assert_outcome(&installation.ended(&pipeline).await, Outcome::Succeeded);
    installation.places_gone();
    assert!(!runs(&sleepers));
}

#[tokio::test]
async fn a_step_that_closes_its_output_goes_on_and_so_does_the_job() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let silent = format!(
        "echo closing\nexec >&- 2>&-\n{}\nexit 0",
        installation.wait_at_gate("closed")
    );
    let pipeline = installation.push(&job(&[&silent, "echo after"])).await;
    installation.logged(&pipeline, "\nclosing\n").await;
    assert!(installation.pipeline(&pipeline).await.summary.outcome.is_none());

    installation.open_gate("closed");

    assert_outcome(&installation.ended(&pipeline).await, Outcome::Succeeded);
    assert!(installation.output(&pipeline).await.contains("\nafter\n"));
}

#[tokio::test]
async fn a_silent_step_ends_by_its_limit_on_silence_and_not_before() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let config = "jobs:\n  work:\n    steps:\n      - run: {name: hush, no_output_timeout: 1s, command: sleep 1000}\n      \
                  - run: {command: echo tidied, when: always}\n";

    let pipeline = installation.push(config).await;

    let ended = assert_outcome(&installation.ended(&pipeline).await, Outcome::TimedOut);
    let cause = Cause::NoOutput { step: "hush".into() };
    assert_eq!(ended.cause, Some(cause));
    let steps = &ended.attempts[0].steps;
    assert!(steps[0].end.as_ref().unwrap().duration_ms >= 1000, "{steps:?}");
    assert!(installation.output(&pipeline).await.contains("\ntidied\n"));
    installation.places_gone();
}

#[tokio::test]
async fn a_step_that_ignores_term_is_killed_after_the_grace() {
    let installation = Installation::start(&Options::default());
    let mut agent = installation.agent("one");
    let script = "trap 'echo ignored' TERM INT HUP\necho deaf\nwhile true; do sleep 0.1 || true; done";
    let config = job(&[script]).replace("5s", "60s");
    let pipeline = installation.push(&config).await;
    installation.logged(&pipeline, "\ndeaf\n").await;

    let client = installation.client();
    client.cancel_pipeline(&pipeline, "enough").await.unwrap();

    let ended = assert_outcome(&installation.ended(&pipeline).await, Outcome::Cancelled);
    let end = ended.attempts[0].steps[0].end.as_ref();
    assert_eq!(end.and_then(|end| end.signal), Some(9), "{ended:#?}");
    assert!(installation.output(&pipeline).await.contains("\nignored\n"));
    installation.places_gone();
    assert_healthy(&installation, &mut agent).await;
}

/// A job that runs beside a misbehaving one.
async fn neighbour(installation: &Installation) -> PipelineId {
    let script = format!(
        "echo here\n{}\necho there",
        installation.wait_at_gate("neighbour")
    );
    let pipeline = installation.push(&job(&[&script]).replace("5s", "60s")).await;
    installation.logged(&pipeline, "\nhere\n").await;
    pipeline
}

/// The neighbour goes on now, and ends well.
async fn assert_undisturbed(installation: &Installation, neighbour: &PipelineId) {
    installation.open_gate("neighbour");
    let ended = assert_outcome(&installation.ended(neighbour).await, Outcome::Succeeded);
    assert_eq!(ended.attempts[0].lost_bytes, 0);
    assert!(installation.output(neighbour).await.contains("\nthere\n"));
}

async fn survives_a_bomb(bomb: &str, refused: &str) {
    let installation = Installation::start(&Options::default());
    let mut agent = installation.agent("one");
    let beside = neighbour(&installation).await;

    let pipeline = installation.push(&job(&[bomb])).await;
    // The limit is reached, and the neighbour does its work all the same.
    installation.logged(&pipeline, refused).await;
    assert_undisturbed(&installation, &beside).await;

    let view = installation.ended(&pipeline).await;
    let ended = only_job(&view);
    assert!(
        matches!(ended.outcome, Some(Outcome::Failed | Outcome::TimedOut)),
        "{ended:#?}"
    );
    installation.places_gone();
    assert_healthy(&installation, &mut agent).await;
}

#[tokio::test]
async fn a_shell_that_forks_without_end_is_refused_more_processes_and_ends() {
    let bomb = ":(){ :|:& };:\nwhile true; do sleep 1; done";
    survives_a_bomb(bomb, "Resource temporarily unavailable").await;
}

#[tokio::test]
async fn a_program_that_forks_without_end_and_never_rests_ends_by_the_time_limit() {
    // No child waits for anything or gives up, as a shell's would.
    let bomb = "exec perl -e '$SIG{TERM} = \"IGNORE\"; $| = 1; my $told; \
                while (1) { defined(fork) or $told++ or print \"refused\\n\" }'";
    survives_a_bomb(bomb, "\nrefused\n").await;
}

/// An agent whose places are on a disk of this size, in MiB, that ends with it.
fn agent_on_a_small_disk(installation: &Installation, size: u32) -> Option<Daemon> {
    let probe = std::process::Command::new("unshare")
        .args(["--mount", "true"])
        .output();
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !is_root || !probe.is_ok_and(|output| output.status.success()) {
        return None;
    }
    std::fs::create_dir_all(installation.place_root()).unwrap();
    let mount = format!(
        "mount -t tmpfs -o size={size}m,mode=700 places {} && exec \"$0\" \"$@\"",
        installation.place_root().display()
    );
    Some(installation.agent_through("one", &["unshare", "--mount", "sh", "-c", &mount]))
}

/// How much of a log is there, and how much of it says that it is lost.
fn sizes(log: &str) -> (u64, u64) {
    let (mut kept, mut lost) = (0, 0);
    let mut rest = log;
    while let Some((before, after)) = rest.split_once("\n[") {
        let (number, after) = after
            .split_once(" bytes lost]\n")
            .expect("steps write no brackets");
        kept += before.len();
        lost += number.parse::<u64>().unwrap();
        rest = after;
    }
    (u64::try_from(kept + rest.len()).unwrap(), lost)
}

#[tokio::test]
async fn a_step_that_fills_the_disk_ends_with_its_own_error_and_others_go_on() {
    let installation = Installation::start(&Options::default());
    let Some(mut agent) = agent_on_a_small_disk(&installation, 256) else {
        println!("skipped: needs root and mount namespaces");
        return;
    };
    let beside = neighbour(&installation).await;
    let content: String = (0..2_000_000).map(|number| format!("{number}\n")).collect();
    let file = installation.gate().join("flood");
    std::fs::write(&file, &content).unwrap();
    let fill = format!(
        "head -c 1G /dev/zero > big 2>/dev/null || echo full\ncat {}\nexit 7",
        file.display()
    );

    let pipeline = installation.push(&job(&[&fill])).await;

    let ended = assert_outcome(&installation.ended(&pipeline).await, Outcome::Failed);
    assert_eq!(ended.cause, Some(Cause::Exit { code: 7 }));
    let mut log = Vec::new();
    installation
        .read_log(&ended.task, |piece| log.extend_from_slice(piece))
        .await;
    let log = String::from_utf8(log).unwrap();
    let (_, kept) = log
        .split_once("\nfull\n")
        .expect("the shell is told that the disk is full");
    let (kept, lost) = sizes(kept);
    assert!(
        lost > 0 && lost == ended.attempts[0].lost_bytes,
        "{lost}: {ended:#?}"
    );
    assert_eq!(kept + lost, u64::try_from(content.len()).unwrap());
    assert_undisturbed(&installation, &beside).await;
    wait::until("the place to be removed", PATIENCE, || {
        let seen = format!(
            "/proc/{}/root{}",
            agent.pid(),
            installation.place_root().display()
        );
        let places = std::fs::read_dir(seen).unwrap().flatten();
        let mut names = places.map(|place| place.file_name().to_string_lossy().into_owned());
        names.all(|name| name.starts_with('.')).then_some(())
    });
    assert_healthy(&installation, &mut agent).await;
}

#[tokio::test]
async fn a_step_that_cannot_be_written_down_says_that_the_disk_is_full() {
    let installation = Installation::start(&Options::default());
    let Some(mut agent) = agent_on_a_small_disk(&installation, 128) else {
        println!("skipped: needs root and mount namespaces");
        return;
    };

    let fill = "head -c 1G /dev/zero > big || true";
    let pipeline = installation.push(&job(&[fill, "echo later"])).await;

    let ended = assert_outcome(&installation.ended(&pipeline).await, Outcome::InfraFailed);
    assert!(matches!(ended.cause, Some(Cause::DiskFull { .. })), "{ended:#?}");
    assert!(!installation.output(&pipeline).await.contains("\nlater\n"));
    assert_healthy(&installation, &mut agent).await;
}
