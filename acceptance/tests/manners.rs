//! A server that is treated badly: idle callers without number, kills, stops in the middle.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use api::PipelineOutcome;
use internal_testing::installation::{Installation, Options};
use internal_testing::{processes, wait};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many callers do nothing.
const IDLE: usize = 10_000;
/// What the server may take for them, in KiB.
const MOST_MEMORY: u64 = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections cost the test a file each too.
fn may_have_files(wanted: u64) -> bool {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < wanted && hard >= wanted {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    }
    hard >= wanted
}

fn resident(pid: processes::Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_idle_callers_cost_bounded_memory_and_nobody_else_waits() {
    if !may_have_files(12_000) {
        assert!(std::env::var_os("CI").is_none(), "CI may have files enough");
        println!("skipped: this user may not have 12000 files open (ulimit -Hn)");
        return;
    }
    let installation = Installation::start(&Options::default());
    let server = installation.server.as_ref().unwrap().pid();
    let address = installation.url().trim_start_matches("http://").to_owned();
    let _agent = installation.agent("one");
    let before = resident(server);

    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut connection = TcpStream::connect(&address).unwrap();
        // Half of them begin a call and never finish it.
        if number % 2 == 0 {
            connection.write_all(b"GET /ready HTTP/1.1\r\nX-Slow: ").unwrap();
        }
        idle.push(connection);
    }
    let began = Instant::now();
    let pipeline = installation.push("jobs: {a: {steps: [run: 'true']}}\n").await;
    let answered = began.elapsed();
    let view = installation.ended(&pipeline).await;
    let taken = resident(server).saturating_sub(before);

    println!("{IDLE} idle connections: {taken} KiB, a push answered in {answered:?}");
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));
    assert!(answered < Duration::from_secs(5), "{answered:?}");
    assert!(taken < MOST_MEMORY, "{taken} KiB");
    // And they do not stay for ever.
    let mut one = idle.swap_remove(0);
    one.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(one.read(&mut [0; 64]).unwrap(), 0, "the server closes it");
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_stops_at_once_and_its_store_needs_no_check() {
    let mut installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let config = format!(
        "jobs: {{wait: {{steps: [run: '{}']}}}}\n",
        installation.wait_at_gate("go")
    );
    let pipeline = installation.push(&config).await;
    installation
        .wait_for("the job to run", &pipeline, |view| {
            view.jobs.first().filter(|job| job.state == "running").map(|_| ())
        })
        .await;

    let began = Instant::now();
    let mut server = installation.server.take().unwrap();
    let status = server.stop();
    let took = began.elapsed();
    installation.start_server();
    installation.open_gate("go");

    assert!(status.success(), "{status:?}: {}", server.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
    let view = installation.ended(&pipeline).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));
    let log = installation.server.as_ref().unwrap().log();
    assert!(!log.contains("checking it"), "{log}");
}

#[tokio::test]
async fn a_server_that_was_killed_checks_its_store_at_the_next_start() {
    let mut installation = Installation::start(&Options::default());
    installation.push("jobs: {a: {steps: [run: 'true']}}\n").await;

    installation.kill_server();
    installation.start_server();

    let server = installation.server.as_ref().unwrap();
    let log = wait::until("the check to be told", PATIENCE, || {
        let log = server.log();
        log.contains("the store is whole").then_some(log)
    });
    assert!(
        log.contains("the store was not closed when it was last used"),
        "{log}"
    );
}
