//! What asks a server says so when there is none, at once.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{code, goatherd, text};

/// Far less than the time for which a call is tried again.
const AT_ONCE: Duration = Duration::from_secs(5);

fn command(folder: &TempDir, address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = goatherd(folder.path(), arguments);
    command
        .env("GOATHERD_URL", format!("http://{address}"))
        .env("GOATHERD_TOKEN", "a-token");
    command
}

/// A port of this machine on which nothing listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Lines of a child's standard error, as they come.
fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Takes one call after the other, and answers the path of each with what `answer` says.
fn serve(listener: TcpListener, mut answer: impl FnMut(&str) -> Option<String> + Send + 'static) {
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut call = Vec::new();
            while !call.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if !matches!(connection.read(&mut byte), Ok(1)) {
                    break;
                }
                call.extend(byte);
            }
            let call = String::from_utf8_lossy(&call).into_owned();
            let path = call.split(' ').nth(1).unwrap_or_default();
            let Some(answer) = answer(path) else { return };
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
}

fn ok(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {content_type}\r\n\r\n{body}")
}

const PIPELINE: &str = r#"[{"id":"p-1","repository":"acme/app","commit":"c0ffee","reference":"refs/heads/main","created":1,"outcome":null,"cause":null}]"#;

#[test]
fn every_verb_says_at_once_that_nothing_listens_here() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    let address = nobody();
    for arguments in [
        &["pipelines"][..],
        &["pipeline", "show", "p-1"],
        &["logs", "p-1"],
        &["logs", "-f", "p-1"],
        &["follow", "p-1"],
        &["cancel", "p-1"],
        &["rerun", "p-1"],
        &["artifacts", "p-1"],
        &["artifacts", "get", "p-1", "build", "app"],
        &["audit"],
    ] {
        let began = Instant::now();

        let output = command(&folder, address, arguments).output().unwrap();

        assert!(
            began.elapsed() < AT_ONCE,
            "{arguments:?} took {:?}",
            began.elapsed()
        );
        assert_eq!(code(&output), 1, "{arguments:?}: {output:?}");
        let said = text(&output.stderr);
        let expected = format!("cannot reach the server at http://{address}");
        assert!(said.contains(&expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_told_of_while_it_is_waited_for() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    // It accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = command(&folder, silent.local_addr().unwrap(), &["pipelines"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let line = lines(&mut child).recv_timeout(AT_ONCE);

    child.kill().unwrap();
    child.wait().unwrap();
    let line = line.unwrap();
    assert!(
        line.contains("no answer from the server at http://127.0.0.1"),
        "{line}"
    );
    assert!(line.contains("waiting for it for up to 29 s more"), "{line}");
}

#[test]
fn a_server_in_trouble_is_told_of_and_asked_again() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut calls = 0;
    serve(listener, move |_| {
        calls += 1;
        Some(match calls {
            1 => "HTTP/1.1 503 Unavailable\r\nconnection: close\r\ncontent-length: 5\r\n\r\nlater".to_owned(),
            _ => ok("application/json", PIPELINE),
        })
    });

    let output = command(&folder, address, &["pipelines"]).output().unwrap();

    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).contains("p-1"), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("with 503: later; trying again for up to "),
        "{said}"
    );
}

#[test]
fn following_goes_on_over_an_absence_of_the_server_and_says_so() {
    let folder = TempDir::with_prefix("goatherd-test-").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let event = "id: 1\ndata: {\"event\":\"job.started\",\"time\":1,\"job\":\"build\"}\n\n";
    let mut events_asked = 0;
    serve(listener, move |path| {
        if path.contains("/events") {
            events_asked += 1;
            // The second time the server is gone.
            return (events_asked == 1).then(|| ok("text/event-stream", event));
        }
        Some(ok("application/json", PIPELINE))
    });
    let mut child = command(&folder, address, &["follow", "p-1"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let said = lines(&mut child);

    let lost = said.recv_timeout(AT_ONCE).unwrap();
    let end = "id: 2\ndata: {\"event\":\"pipeline.finished\",\"time\":2,\"outcome\":\"succeeded\",\"cause\":null}\n\n";
    let deadline = Instant::now() + Duration::from_secs(20);
    let listener = loop {
        match TcpListener::bind(address) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    serve(listener, move |_| Some(ok("text/event-stream", end)));
    let back = said.recv_timeout(Duration::from_secs(20)).unwrap();

    assert!(
        lost.starts_with("lost the server (") && lost.contains("trying again for up to "),
        "{lost}"
    );
    assert_eq!(back, "the server is there again");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
