//! A runner API on a real socket, with TLS or without, that answers as its script says and remembers what it was
//! asked. It is a web proxy too, for tests that call it by one.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

mod connection;
mod tls;

use connection::Stream;

/// Where a task is given back.
pub const UNCLAIM: &str = "/api/v3/runner/unclaim";
/// Where a task's failure is reported.
pub const FAIL: &str = "/api/v2/task/event/fail";

/// What a call is answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status, without a body.
    Status(u16),
    /// 307 to this URL.
    Redirect(String),
    /// Another answer, so much later.
    After(Duration, Box<Answer>),
    /// Nothing, while the connection stays open.
    Never,
    /// Nothing: the connection is reset.
    Reset,
    /// Half of an answer, and then the end of the connection.
    CutOff,
    /// What is no HTTP.
    Garbage,
    /// 500, with a body that has no end.
    Endless,
}

/// A call that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// `POST`, for one.
    pub method: String,
    /// What stood behind it: a path, or as a proxy a URL or an address.
    pub target: String,
    /// The path of it.
    pub path: String,
    /// As they arrived, in their order.
    pub headers: Vec<(String, String)>,
    /// As it arrived.
    pub body: Vec<u8>,
    /// When it had arrived.
    pub at: Instant,
}

impl Call {
    /// A header's value, whatever its name's case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body.
    ///
    /// # Panics
    /// Where it is no JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// A fail event's message, decoded.
    ///
    /// # Panics
    /// Where it has none in base64.
    #[must_use]
    pub fn message_bytes(&self) -> Vec<u8> {
        let body = self.json();
        let encoded = body.get("message").and_then(serde_json::Value::as_str);
        STANDARD
            .decode(encoded.expect("a fail event has a message"))
            .expect("the message is base64")
    }

    /// The same as text.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn message(&self) -> String {
        String::from_utf8(self.message_bytes()).expect("the message is UTF-8")
    }
}

/// It runs until the test program ends.
#[derive(Debug)]
pub struct RunnerApi {
    address: SocketAddr,
    scheme: &'static str,
    certificate: Option<String>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Mutex<Vec<Call>>,
    scripts: Mutex<HashMap<String, VecDeque<Answer>>>,
    /// Connections that are not answered, kept open.
    held: Mutex<Vec<Stream>>,
    tunnel: Mutex<Option<SocketAddr>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}

impl RunnerApi {
    /// One without TLS, on loopback. It answers everything with 200 until it is told otherwise.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn http() -> Self {
        Self::start(None)
    }

    /// One with TLS, whose certificate is for `name` alone and signed by itself.
    ///
    /// # Panics
    /// Where it cannot listen, or a certificate cannot be made.
    #[must_use]
    pub fn https(name: &str) -> Self {
        Self::start(Some(tls::Identity::of(name)))
    }

    fn start(identity: Option<tls::Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<State>::default();
        let (scheme, certificate, config) = match identity {
            Some(identity) => ("https", Some(identity.certificate), Some(identity.config)),
            None => ("http", None, None),
        };
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, config) = (Arc::clone(&served), config.clone());
                // A thread each, so that one which is not answered holds up no other.
                std::thread::spawn(move || connection::serve(stream, config, &state));
            }
        });
        Self {
            address,
            scheme,
            certificate,
            state,
        }
    }

    /// Answers calls of `path` with these, one after the other; the last one stays.
    #[must_use]
    pub fn answering(self, path: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        locked(&self.state.scripts).insert(path.to_owned(), answers.into_iter().collect());
        self
    }

    /// As a proxy, takes every CONNECT to this API instead.
    #[must_use]
    pub fn tunnelling_to(self, other: &RunnerApi) -> Self {
        *locked(&self.state.tunnel) = Some(other.address);
        self
    }

    /// Its URL by address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Its URL by a name that the caller knows how to reach.
    #[must_use]
    pub fn url_of(&self, name: &str) -> String {
        format!("{}://{name}:{}", self.scheme, self.address.port())
    }

    /// Its certificate in PEM; none without TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// What it was asked so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.state.calls).clone()
    }

    /// The paths of it.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.path).collect()
    }
}

impl State {
    fn answer_for(&self, path: &str) -> Answer {
        let mut scripts = locked(&self.scripts);
        let Some(answers) = scripts.get_mut(path) else {
            return Answer::Status(200);
        };
        if answers.len() > 1 {
            return answers.pop_front().unwrap_or(Answer::Status(200));
        }
        answers.front().cloned().unwrap_or(Answer::Status(200))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn ask(api: &RunnerApi, path: &str) -> String {
        let mut stream = TcpStream::connect(api.address).expect("it listens");
        let request = format!("POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).expect("it takes it");
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => String::from_utf8_lossy(&answer).into_owned(),
            Err(error) => error.kind().to_string(),
        }
    }

    #[test]
    fn it_answers_by_its_script_and_remembers() {
        let api = RunnerApi::http().answering(FAIL, [Answer::Status(503), Answer::Reset, Answer::CutOff]);

        let answers: Vec<String> = (0..4).map(|_| ask(&api, FAIL)).collect();
        let other = ask(&api, UNCLAIM);

        assert!(answers[0].starts_with("HTTP/1.1 503 "), "{answers:?}");
        assert_eq!(answers[1], "connection reset");
        assert!(
            answers[2].starts_with("HTTP/1.1 200 ") && answers[2] == answers[3],
            "{answers:?}"
        );
        assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
        assert_eq!(api.paths(), [FAIL, FAIL, FAIL, FAIL, UNCLAIM]);
        assert_eq!(api.calls()[0].json(), serde_json::json!({}));
    }
}
