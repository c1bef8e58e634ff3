//! A runner API that answers as it is told and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;

pub(crate) const UNCLAIM: &str = "/api/v3/runner/unclaim";
pub(crate) const FAIL: &str = "/api/v2/task/event/fail";

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: serde_json::Value,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A fail event's message, decoded.
    pub(crate) fn message(&self) -> String {
        let encoded = self.body["message"].as_str().expect("a fail event has a message");
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .expect("it is base64");
        String::from_utf8(bytes).expect("the test wrote UTF-8")
    }
}

/// It runs until the test program ends.
pub(crate) struct Api {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Api {
    /// Answers `unclaim` and `fail` with these statuses; with 0 never.
    pub(crate) fn answering(unclaim: u16, fail: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Some(call) = read(&stream) else { continue };
                let status = if call.path == UNCLAIM { unclaim } else { fail };
                seen.lock().expect("no test panics with it").push(call);
                if status == 0 {
                    unanswered.push(stream);
                    continue;
                }
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, calls }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no test panics with it").clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.path).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Call> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?
        .1
        .parse()
        .ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Call {
        path,
        headers,
        body: serde_json::from_slice(&body).ok()?,
    })
}
