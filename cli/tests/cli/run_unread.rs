//! `goatherd run` whose output nobody reads, as a pager does not that shows its first page.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};

use crate::program::{Repository, text};
use crate::run_left::{below, signal};

const WAITING: &str = r#"
jobs:
  wait:
    steps:
      - run: {name: wait, command: "exec sleep 1000"}
"#;

const PATIENCE: Duration = Duration::from_secs(60);
/// Far less than a job's grace and a server's end together.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Where what nobody reads goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    Output,
    OutputAndErrors,
}

/// A pipe that takes no more.
fn full() -> (PipeReader, PipeWriter) {
    filled_but(0)
}

/// A pipe that takes this many bytes more.
fn filled_but(rest: usize) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'\n'; room(&writer) - rest]).unwrap();
    (reader, writer)
}

fn room(pipe: &PipeWriter) -> usize {
    usize::try_from(fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap()).unwrap()
}

/// A run whose output finds the pipe full.
fn started(repository: &Repository, arguments: &[&str], unread: Unread) -> (Child, PipeReader) {
    let mut command = repository.run(arguments);
    let reader = match unread {
        Unread::Output => {
            let (reader, writer) = full();
            command.stdout(writer);
            reader
        }
        Unread::OutputAndErrors => {
            // What is said at the start has its room.
            let (reader, writer) = filled_but(4096);
            command.stderr(writer.try_clone().unwrap()).stdout(writer);
            reader
        }
    };
    (command.spawn().unwrap(), reader)
}

fn sleeps(run: &Child) -> bool {
    below(run.id()).iter().any(|(_, name)| name == "sleep")
}

fn until(what: &str, patience: Duration, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !is() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

fn ended(run: &mut Child) -> Option<i32> {
    let mut status = None;
    until("the end", AT_ONCE, || {
        status = run.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code())
}

/// Ends it with as many signals as it takes: two that come at once are one.
fn ended_by_many(run: &mut Child) -> Option<i32> {
    let mut status = None;
    until("the end", AT_ONCE, || {
        status = run.try_wait().unwrap();
        if status.is_none() {
            signal("INT", &[run.id()]);
        }
        status.is_some()
    });
    status.and_then(|status| status.code())
}

fn first_cancels_and_second_ends(config: &str, arguments: &[&str], unread: Unread) {
    let repository = Repository::with(&[(".ci.yml", config)]);
    let (mut run, _reader) = started(&repository, arguments, unread);
    until("the step", PATIENCE, || sleeps(&run));

    signal("INT", &[run.id()]);
    until("the step's end", PATIENCE, || !sleeps(&run));
    signal("INT", &[run.id()]);

    assert_eq!(ended(&mut run), Some(6));
    repository.assert_nothing_left();
}

#[test]
fn ctrl_c_cancels_and_the_second_ends_also_where_nobody_reads_the_output() {
    first_cancels_and_second_ends(WAITING, &[], Unread::Output);
}

#[test]
fn ctrl_c_cancels_and_the_second_ends_also_where_nobody_reads_the_events() {
    first_cancels_and_second_ends(WAITING, &["--json"], Unread::Output);
}

#[test]
fn ctrl_c_cancels_and_the_second_ends_also_where_nobody_reads_what_is_said_either() {
    let writing = WAITING.replace("exec", "seq 50000; exec");

    first_cancels_and_second_ends(&writing, &[], Unread::OutputAndErrors);
}

#[test]
fn ctrl_c_twice_ends_a_step_that_ignores_it_also_where_nobody_reads_the_output() {
    let repository = Repository::with(&[(".ci.yml", &WAITING.replace("exec", "trap '' TERM;"))]);
    let (mut run, _reader) = started(&repository, &["--json"], Unread::Output);
    until("the step", PATIENCE, || sleeps(&run));

    assert_eq!(ended_by_many(&mut run), Some(6));
    repository.assert_nothing_left();
}

#[test]
fn who_reads_again_after_ctrl_c_gets_all_events_to_the_last() {
    let repository = Repository::with(&[(".ci.yml", WAITING)]);
    let (mut run, mut reader) = started(&repository, &["--json"], Unread::Output);
    until("the step", PATIENCE, || sleeps(&run));
    signal("INT", &[run.id()]);
    until("the step's end", PATIENCE, || !sleeps(&run));

    let mut output = Vec::new();
    reader.read_to_end(&mut output).unwrap();

    assert_eq!(ended(&mut run), Some(6));
    let written = output.iter().position(|byte| *byte != b'\n').unwrap();
    let events = crate::run::events(&output[written..]);
    assert_eq!(events.first().unwrap()["event"], "job.phase");
    let last = events.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["outcome"].as_str()),
        (Some("pipeline.finished"), Some("cancelled")),
        "{}",
        text(&output)
    );
}

/// Whether a process handles INT itself. Source: proc_pid_status(5), `SigCgt`.
fn handles_int(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap() & 0b10 != 0
}

#[test]
fn ctrl_c_twice_ends_a_run_that_failed_also_where_nobody_reads_why() {
    let repository = Repository::with(&[(".ci.yml", WAITING)]);
    let (_reader, writer) = full();
    let mut command = repository.run(&["--artifacts", "/proc/x"]);
    let mut run = command.stderr(writer).spawn().unwrap();
    until("the handler", PATIENCE, || handles_int(run.id()));

    assert_eq!(ended_by_many(&mut run), Some(1));
}
