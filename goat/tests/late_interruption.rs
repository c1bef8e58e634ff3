//! A TERM that comes while the runner API is being told.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sys::process::{Pid, Signal, kill_process};

/// The path of the next request, and its connection.
fn next_request(listener: &TcpListener) -> (String, TcpStream) {
    let (stream, _) = listener.accept().expect("it listens");
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .expect("it has a first line");
    let path = line.split(' ').nth(1).expect("it has a path").to_owned();
    (path, stream)
}

#[test]
fn a_term_while_a_task_is_given_back_leaves_time_to_report_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound");
    let config = json!({
        "task_id": "task-1",
        "token": "the-task-token",
        "task_agent_path": "/no/such/agent",
        "runner_api_base_url": format!("http://{address}"),
        "termination_message_path": folder.path().join("termination"),
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .args(["run-task", "--health-check-addr=127.0.0.1:0"])
        .env("CIRCLECI_GOAT_CONFIG", config.to_string())
        .stdin(Stdio::null())
        .stderr(File::create(folder.path().join("log")).expect("it is made"))
        .spawn()
        .expect("it starts");
    let (unclaim, _unanswered) = next_request(&listener);
    let start = Instant::now();

    let pid = Pid::from_raw(i32::try_from(child.id()).expect("pids are small"));
    kill_process(pid, Signal::SIGTERM).expect("it is ours");
    let (fail, mut stream) = next_request(&listener);
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .expect("it takes it");
    let status = child.wait().expect("it is ours");

    let log = fs::read_to_string(folder.path().join("log")).expect("it was written");
    assert_eq!(
        (unclaim.as_str(), fail.as_str()),
        ("/api/v3/runner/unclaim", "/api/v2/task/event/fail")
    );
    assert!(status.success(), "{status}: {log}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let message = fs::read(folder.path().join("termination")).expect("it was written");
    let message: Value = serde_json::from_slice(&message).expect("it is JSON");
    assert_eq!(message["reported"], true, "{message}");
}
