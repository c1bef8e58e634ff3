//! The runner API of one task, on a socket of its own: it fails as planned, then answers, and remembers each call
//! with what of the task was still alive at that moment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::marked;
use super::plan::{Answer, Fault, Plan};

pub(super) const UNCLAIM: &str = "/api/v3/runner/unclaim";
pub(super) const FAIL: &str = "/api/v2/task/event/fail";
/// How long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(5);

/// A request that came whole.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) body: Vec<u8>,
    /// What was answered; none where nothing was, or nothing whole.
    pub(super) answer: Option<u16>,
    /// The processes of the task that were there, for people; empty where none was.
    pub(super) alive: String,
}

/// It listens until it is stopped.
pub(super) struct RunnerApi {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    mark: String,
    unclaim: Answer,
    fail: Answer,
    calls: Mutex<Vec<Call>>,
    stopped: AtomicBool,
}

impl RunnerApi {
    pub(super) fn start(plan: &Plan, mark: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            mark: mark.to_owned(),
            unclaim: plan.unclaim,
            fail: plan.fail,
            calls: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        });
        let faults = plan.faults.clone();
        let serving = Arc::clone(&state);
        let thread = thread::spawn(move || serving.serve(listener, address, faults));
        Ok(Self {
            address,
            state,
            thread: Some(thread),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it. All calls that it got.
    pub(super) fn stop(mut self) -> Vec<Call> {
        self.end();
        self.state.calls().clone()
    }

    fn end(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // It waits for a connection, unless it is away just now.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for RunnerApi {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut listener: TcpListener, address: SocketAddr, faults: Vec<Fault>) {
        let mut faults = faults.into_iter();
        let mut held = Vec::new();
        loop {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            match faults.next() {
                Some(Fault::Closed) => drop(stream),
                Some(Fault::Away(time)) => {
                    drop(stream);
                    drop(listener);
                    thread::sleep(Duration::from_millis(time));
                    // The port is free: nobody else was given it so soon.
                    let Ok(again) = TcpListener::bind(address) else {
                        return;
                    };
                    listener = again;
                }
                fault => held.extend(self.call(stream, fault)),
            }
        }
    }

    /// Takes a request. Gives the connection back where it is to stay open.
    fn call(&self, mut stream: TcpStream, fault: Option<Fault>) -> Option<TcpStream> {
        stream.set_read_timeout(Some(SILENCE)).ok()?;
        let mut call = read(&stream)?;
        call.alive = marked::described(&marked::all(&self.mark));
        let answer = match call.path.as_str() {
            UNCLAIM => self.unclaim,
            FAIL => self.fail,
            _ => Answer::Status(404),
        };
        call.answer = match (fault, answer) {
            (None, Answer::Status(status)) => Some(status),
            _ => None,
        };
        // Before the answer: whoever has it may end at once.
        self.calls().push(call);
        let text = match (fault, answer) {
            (None, Answer::Status(status)) | (Some(Fault::Status(status)), _) => whole(status),
            (None, Answer::Never) => return Some(stream),
            (Some(Fault::Garbage), _) => "this is no HTTP\r\n\r\n".to_owned(),
            (Some(Fault::CutOff), _) => "HTTP/1.1 200 OK\r\nConte".to_owned(),
            (Some(_), _) => String::new(),
        };
        stream.write_all(text.as_bytes()).ok()?;
        let _ = stream.shutdown(Shutdown::Write);
        None
    }
}

fn whole(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn read(stream: &TcpStream) -> Option<Call> {
    let mut reader = BufReader::new(stream);
    let mut call = Call {
        path: String::new(),
        authorization: None,
        instance: None,
        body: Vec::new(),
        answer: None,
        alive: String::new(),
    };
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    call.path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => call.authorization = Some(value.to_owned()),
            "x-goatherd-instance" => call.instance = Some(value.to_owned()),
            _ => {}
        }
    }
    call.body = vec![0; length];
    reader.read_exact(&mut call.body).ok()?;
    Some(call)
}
