//! Output on its way to the server.

use std::fs;

use api::runner::task::Stream;
use api::{Outcome, Secret};

use crate::harness::{Agent, run, task, until};
use crate::server::{FakeServer, Seen, TOKEN};

#[test]
fn five_megabytes_of_anything_arrive_as_they_were_written() {
    let server = FakeServer::start(task(vec![run(
        "head -c 5242880 /dev/urandom > bytes; cat bytes; echo error >&2",
    )]));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let bytes = fs::read(agent.project().join("bytes")).expect("there");
    assert!(facts.output(0, Stream::Stdout) == bytes, "the output differs");
    assert_eq!(facts.text(0, Stream::Stderr), "error\n");
    assert!(facts.chunks.len() < 2000, "{}", facts.chunks.len());
}

#[test]
fn output_survives_a_server_that_goes_away_and_comes_back() {
    let count = "i=0; while test $i -lt 60; do echo line $i; i=$((i+1)); sleep 0.05; done";
    let mut server = FakeServer::start(task(vec![run(count)]));
    let mut agent = Agent::start(&server);

    for lines in [5, 25] {
        drop(server.wait("some lines", |facts| {
            facts
                .output(0, Stream::Stdout)
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                >= lines
        }));
        server.vanish();
        server.return_again();
    }

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let expected: String = (0..60).map(|number| format!("line {number}\n")).collect();
    assert_eq!(facts.text(0, Stream::Stdout), expected);
    assert_eq!(
        facts.record.as_ref().expect("a record").outcome,
        Outcome::Succeeded
    );
}

#[test]
fn more_output_than_memory_holds_waits_on_disk_for_the_server() {
    let mut server = FakeServer::start(task(vec![run(
        "touch started; until test -e go; do sleep 0.01; done; head -c 20000000 /dev/urandom > bytes; cat bytes; \
         touch written; until test -e back; do sleep 0.01; done",
    )]));
    let mut agent = Agent::start(&server);
    let project = agent.project();
    until("the step runs", || project.join("started").exists().then_some(()));

    server.vanish();
    fs::write(project.join("go"), "").expect("written");
    until("all is written", || {
        project.join("written").exists().then_some(())
    });
    server.return_again();
    fs::write(project.join("back"), "").expect("written");

    assert_eq!(agent.end().code(), Some(0));
    let bytes = fs::read(project.join("bytes")).expect("there");
    assert!(
        server.facts().output(0, Stream::Stdout) == bytes,
        "the output differs"
    );
}

#[test]
fn numbers_go_on_where_the_server_says() {
    let mut task = task(vec![run("echo hello")]);
    task.stored = 10;
    let server = FakeServer::start(task);
    for number in 1..=10 {
        let chunk = serde_json::from_value(serde_json::json!({
            "step": 9, "sequence": number, "stream": "stdout", "time": 0, "bytes": ""
        }));
        server.facts().chunks.insert(number, chunk.expect("a chunk"));
    }

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(facts.text(0, Stream::Stdout), "hello\n");
    assert!(facts.record.as_ref().expect("a record").last_sequence > 10);
}

#[test]
fn what_the_server_misses_at_the_end_is_filled() {
    let server = FakeServer::start(task(vec![run("echo hello")]));
    server.facts().forget = Some(1);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert!(facts.chunks.contains_key(&1));
    assert_eq!(facts.seen.last(), Some(&Seen::Finish));
}

#[test]
fn secrets_and_the_token_are_masked_even_in_pieces() {
    let mut task = task(vec![run(&format!(
        "printf 'correct hor'; sleep 0.3; echo 'se battery'; echo $KEY; echo {TOKEN} >&2; \
         printf %s \"$PASSWORD\" | base64"
    ))]);
    task.secrets.insert(
        "KEY".to_owned(),
        Secret::new("-----BEGIN-----\nabcdefgh\n-----END-----\n"),
    );
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(facts.text(0, Stream::Stdout), "****\n**** **** ****\n****\n");
    assert_eq!(facts.text(0, Stream::Stderr), "****\n");
    assert!(facts.text(0, Stream::System).contains("echo **** >&2"));
}

#[test]
fn a_process_that_holds_the_output_open_does_not_hold_the_step() {
    let server = FakeServer::start(task(vec![
        run("(sleep 0.4; echo late; exec sleep 1000) & echo early"),
        run("sleep 1"),
    ]));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(facts.text(0, Stream::Stdout), "early\nlate\n");
    let steps = &facts.record.as_ref().expect("a record").steps;
    assert!(steps[0].end.duration_ms < 900, "{steps:?}");
}
