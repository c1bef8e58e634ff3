//! Steps that write more than anybody reads: the job ends, every byte is there or counted, and no process
//! grows with the log.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use api::people::EventKind;
use api::{Outcome, PipelineId, TaskId};
use futures_util::StreamExt as _;
use internal_testing::installation::{PATIENCE, only_job};
use internal_testing::memory::Watch;
use internal_testing::{Daemon, Installation, Options, wait};

/// The most that a process may have in memory, in KiB, with binaries that are not optimised, whatever the length
/// of the log.
const MEMORY: u64 = 48 * 1024;
/// The longest until the first byte of a log comes.
const FIRST_BYTE: Duration = Duration::from_millis(200);
/// A line of the long log.
const LINE: &str = "the quick brown fox jumps over the lazy dog\n";

/// A job that waits at the gate and then writes.
struct Flood {
    pipeline: PipelineId,
    task: TaskId,
    /// What the log held before.
    before: usize,
}

impl Flood {
    async fn prepare(installation: &Installation, command: &str) -> Self {
        let config = format!(
            "jobs:\n  work:\n    steps:\n      - run: |\n          echo ready\n          {}\n          {command}\n",
            installation.wait_at_gate("flood")
        );
        let pipeline = installation.push(&config).await;
        // The task agent shows the command first.
        installation.logged(&pipeline, "\nready\n").await;
        let task = only_job(&installation.pipeline(&pipeline).await).task.clone();
        let before = log(installation, &task).await.len();
        Self {
            pipeline,
            task,
            before,
        }
    }

    async fn succeeded(&self, installation: &Installation) {
        let view = installation.ended(&self.pipeline).await;
        let job = only_job(&view);
        assert_eq!(job.outcome, Some(Outcome::Succeeded), "{job:#?}");
        assert_eq!(job.attempts[0].lost_bytes, 0);
    }
}

async fn log(installation: &Installation, task: &TaskId) -> Vec<u8> {
    let mut bytes = Vec::new();
    installation
        .read_log(task, |piece| bytes.extend_from_slice(piece))
        .await;
    bytes
}

fn watch(installation: &Installation, agent: &Daemon) -> Watch {
    let server = installation.server.as_ref().expect("the server is up").pid();
    Watch::start(
        &[("server", server), ("agent", agent.pid())],
        installation.place_root(),
    )
}

#[allow(clippy::print_stderr, reason = "figures, for whoever asks for them")]
fn assert_bounded(watch: Watch, during: &str) {
    let peaks = watch.peaks();
    eprintln!("{during}: {peaks:?} KiB");
    assert!(
        peaks.values().all(|peak| *peak < MEMORY),
        "{during}: {peaks:?} KiB"
    );
}

/// Writes 200 MB, and reads them again. Answers how long the first took.
async fn long_log() -> Duration {
    const LINES: usize = 4_545_455;
    let installation = Installation::start(&Options::default());
    let agent = installation.agent("one");
    let command = format!("yes '{}' | head -n {LINES} || true", LINE.trim_end());
    let flood = Flood::prepare(&installation, &command).await;

    let writing = watch(&installation, &agent);
    let begun = Instant::now();
    installation.open_gate("flood");
    flood.succeeded(&installation).await;
    let took = begun.elapsed();
    assert_bounded(writing, "while 200 MB are written");

    let reading = watch(&installation, &agent);
    let (asked, mut first, mut length) = (Instant::now(), None, 0);
    let mut expected = LINE.bytes().cycle();
    installation
        .read_log(&flood.task, |piece| {
            first.get_or_insert_with(|| asked.elapsed());
            let skipped = flood.before.saturating_sub(length).min(piece.len());
            length += piece.len();
            let same = piece[skipped..].iter().all(|byte| expected.next() == Some(*byte));
            assert!(same, "the log differs before its byte {length}");
        })
        .await;
    assert_eq!(length, flood.before + LINES * LINE.len());
    assert!(first.unwrap() < FIRST_BYTE, "{first:?}");
    assert_bounded(reading, "while 200 MB are read");
    installation.places_gone();
    took
}

#[tokio::test]
async fn two_hundred_megabytes_of_log_arrive_whole_in_bounded_memory() {
    long_log().await;
}

#[tokio::test]
#[ignore = "for optimised binaries: ./do build --release, then run it alone"]
#[allow(clippy::print_stderr, reason = "the figure is what it is run for")]
async fn log_reaches_the_disk_at_twenty_megabytes_a_second() {
    let took = long_log().await;

    let rate = 200.0 / took.as_secs_f64();
    eprintln!("{rate:.1} MB/s from the step to the server's disk");
    assert!(rate >= 20.0, "{rate:.1} MB/s");
}

#[tokio::test]
async fn bytes_of_any_kind_arrive_as_they_were_written() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let binary = all_bytes.repeat(20_000);
    let long_lines = ["x".repeat(1_000_000), "\u{20ac}".repeat(333_333)]
        .join("\n")
        .repeat(5);
    let short_lines: String = (0..1_000_000).map(|number| format!("{number}\n")).collect();

    for (name, content) in [
        ("binary", binary.as_slice()),
        ("long-lines", long_lines.as_bytes()),
        ("short-lines", short_lines.as_bytes()),
    ] {
        let file = installation.gate().join(name);
        fs::write(&file, content).unwrap();
        let flood = Flood::prepare(&installation, &format!("cat {}", file.display())).await;
        installation.open_gate("flood");
        flood.succeeded(&installation).await;

        let read = log(&installation, &flood.task).await;

        assert!(&read[flood.before..] == content, "{name} is not what was written");
        fs::remove_file(installation.gate().join("flood")).unwrap();
    }
}

#[tokio::test]
async fn a_character_that_is_written_in_two_parts_is_shown_whole() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let command = format!(
        "printf 'caf\\303'; {}; printf '\\251.\\n'",
        installation.wait_at_gate("rest")
    );
    let flood = Flood::prepare(&installation, &command).await;
    installation.open_gate("flood");
    // What comes before the character is not held back with it.
    installation.logged(&flood.pipeline, "\nready\ncaf").await;

    installation.open_gate("rest");
    flood.succeeded(&installation).await;

    let output = installation.output(&flood.pipeline).await;
    assert!(output.ends_with("\nready\ncaf\u{e9}.\n"), "{output}");
}

#[tokio::test]
async fn a_follower_of_a_flood_costs_bounded_memory() {
    let installation = Installation::start(&Options::default());
    let agent = installation.agent("one");
    let command = format!("yes '{}' | head -n 1000000 || true", LINE.trim_end());
    let flood = Flood::prepare(&installation, &command).await;
    let client = installation.client();

    let watch = watch(&installation, &agent);
    installation.open_gate("flood");
    let events = client.events(&flood.pipeline, 0).await.unwrap();
    let mut events = Box::pin(events);
    let mut seen = 0;
    while let Some(event) = events.next().await {
        if let EventKind::StepOutput { text, .. } = event.unwrap().1.what {
            seen += text.len();
        }
    }

    assert_eq!(seen, flood.before + 1_000_000 * LINE.len());
    flood.succeeded(&installation).await;
    assert_bounded(watch, "while a flood is followed");
}

#[tokio::test]
async fn a_server_killed_in_a_flood_has_every_byte_once_it_is_back() {
    let mut installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    // Half of it comes while the server is away.
    let command = format!(
        "seq 1000000; {}; seq 1000000",
        installation.wait_at_gate("second-half")
    );
    let flood = Flood::prepare(&installation, &command).await;
    installation.open_gate("flood");
    wait::until_async("the flood to come", PATIENCE, || async {
        (log(&installation, &flood.task).await.len() > flood.before + 1_000_000).then_some(())
    })
    .await;

    installation.kill_server();
    installation.open_gate("second-half");
    installation.start_server();

    flood.succeeded(&installation).await;
    let numbers: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    let read = log(&installation, &flood.task).await;
    assert!(read[flood.before..] == *numbers.repeat(2).as_bytes());
    installation.places_gone();
}
