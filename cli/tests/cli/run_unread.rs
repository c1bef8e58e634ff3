//! `goatherd run` whose output nobody reads, as a pager does not that shows its first page.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
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

/// A run whose pipe is full once it writes for the first time; with how much others wrote to it.
fn started(repository: &Repository, arguments: &[&str], unread: Unread) -> (Child, PipeReader, usize) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let room = usize::try_from(fcntl(&writer, FcntlArg::F_GETPIPE_SZ).unwrap()).unwrap();
    let mut command = repository.run(arguments);
    if unread == Unread::OutputAndErrors {
        // What is said at the start has its room.
        let room = room - 4096;
        writer.write_all(&vec![b'\n'; room]).unwrap();
        command.stderr(File::from(OwnedFd::from(writer.try_clone().unwrap())));
        command.stdout(File::from(OwnedFd::from(writer)));
        return (command.spawn().unwrap(), reader, room);
    }
    writer.write_all(&vec![b'\n'; room]).unwrap();
    command.stdout(File::from(OwnedFd::from(writer)));
    (command.spawn().unwrap(), reader, room)
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

fn first_cancels_and_second_ends(config: &str, arguments: &[&str], unread: Unread) {
    let repository = Repository::with(&[(".ci.yml", config)]);
    let (mut run, _reader, _) = started(&repository, arguments, unread);
    until("the step", PATIENCE, || sleeps(&run));

    signal("INT", &[run.id()]);
    until("the step's end", PATIENCE, || !sleeps(&run));
    signal("INT", &[run.id()]);

    assert_eq!(ended(&mut run), Some(6));
    assert!(
        repository.left_behind().is_empty(),
        "left behind: {:?}",
        repository.left_behind()
    );
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
    let (mut run, _reader, _) = started(&repository, &["--json"], Unread::Output);
    until("the step", PATIENCE, || sleeps(&run));

    signal("INT", &[run.id()]);
    signal("INT", &[run.id()]);

    // Two of one kind that come at once are one.
    let mut code = None;
    until("the end", PATIENCE, || {
        code = run.try_wait().unwrap();
        if code.is_none() {
            signal("INT", &[run.id()]);
        }
        code.is_some()
    });
    assert_eq!(code.and_then(|code| code.code()), Some(6));
    assert!(
        repository.left_behind().is_empty(),
        "left behind: {:?}",
        repository.left_behind()
    );
}

#[test]
fn who_reads_again_after_ctrl_c_gets_all_events_to_the_last() {
    let repository = Repository::with(&[(".ci.yml", WAITING)]);
    let (mut run, mut reader, filled) = started(&repository, &["--json"], Unread::Output);
    until("the step", PATIENCE, || sleeps(&run));
    signal("INT", &[run.id()]);
    until("the step's end", PATIENCE, || !sleeps(&run));

    let mut output = Vec::new();
    reader.read_to_end(&mut output).unwrap();

    assert_eq!(ended(&mut run), Some(6));
    let events = crate::run::events(&output[filled..]);
    assert_eq!(events.first().unwrap()["event"], "job.phase");
    let last = events.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["outcome"].as_str()),
        (Some("pipeline.finished"), Some("cancelled")),
        "{}",
        text(&output)
    );
}
