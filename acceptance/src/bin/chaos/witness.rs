//! A witness of what really ran: steps hold a connection to it for as long as they live.
//!
//! A step says that it begins, as what, and in which PID namespace (its inode, which is used
//! again after its end, and the start of its process 1). The kernel closes the connection when the last
//! process of the step that holds it is gone, so an open connection is an execution that goes on. Two open ones of
//! one job from different places are two attempts that both execute.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::ledger::Ledger;

/// One execution of a step's command.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    /// `NUMBER/JOB`: which pipeline of the load, and the job's name.
    pub(crate) job: String,
    /// The step's name.
    pub(crate) step: String,
    /// Its PID namespace, which is another one for each place.
    pub(crate) place: String,
    /// Whether it came to its end.
    pub(crate) ended: bool,
    /// Whether a process of it lives.
    pub(crate) open: bool,
}

/// All executions so far, by the id that each drew for itself.
pub(crate) type Executions = Arc<Mutex<BTreeMap<String, Execution>>>;

/// The port that steps connect to, and what they said there.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) port: u16,
    pub(crate) executions: Executions,
}

/// A connection, and whose it is once it said so.
struct Connection {
    stream: TcpStream,
    text: Vec<u8>,
    execution: Option<String>,
}

impl Witness {
    /// Listens on loopback; what breaks a promise goes to the ledger at once.
    pub(crate) fn start(ledger: Arc<Ledger>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let executions = Executions::default();
        let seen = Arc::clone(&executions);
        // It lives as long as the process: steps may speak to it until the last place is gone.
        thread::spawn(move || listen(&listener, &seen, &ledger));
        Ok(Self { port, executions })
    }
}

fn listen(listener: &TcpListener, executions: &Executions, ledger: &Ledger) {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let mut busy = false;
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                busy = true;
                connections.push(Connection {
                    stream,
                    text: Vec::new(),
                    execution: None,
                });
            }
        }
        let mut at = 0;
        while at < connections.len() {
            match connections[at].read() {
                Some(lines) => {
                    busy |= !lines.is_empty();
                    for line in lines {
                        heard(&line, at, &mut connections, executions, ledger);
                    }
                    at += 1;
                }
                None => {
                    let gone = connections.swap_remove(at);
                    closed(&gone, executions);
                }
            }
        }
        if !busy {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn heard(line: &str, at: usize, connections: &mut [Connection], executions: &Executions, ledger: &Ledger) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["begin", job, step, id, place] => {
            let others: Vec<String> = {
                let known = executions.lock().expect("nobody panics with it");
                let is_other = |execution: &Execution| {
                    execution.open && execution.job == job && execution.place != place
                };
                known
                    .iter()
                    .filter(|(_, execution)| is_other(execution))
                    .map(|(id, _)| id.clone())
                    .collect()
            };
            for other in others {
                // What ended before this one began has closed its connection, whether that was read or not.
                let alive = connections
                    .iter_mut()
                    .find(|connection| connection.execution.as_deref() == Some(&other))
                    .is_some_and(Connection::is_open);
                if alive {
                    ledger.broken(format!(
                        "two attempts of job {job} execute at once: {other} and {id} ({step}, {place})"
                    ));
                }
            }
            connections[at].execution = Some(id.to_owned());
            let execution = Execution {
                job: job.to_owned(),
                step: step.to_owned(),
                place: place.to_owned(),
                ended: false,
                open: true,
            };
            let mut known = executions.lock().expect("nobody panics with it");
            known.insert(id.to_owned(), execution);
        }
        ["end", id] => {
            let mut known = executions.lock().expect("nobody panics with it");
            if let Some(execution) = known.get_mut(id) {
                execution.ended = true;
            }
        }
        _ => ledger.broken(format!("the witness heard something else: {line:?}")),
    }
    // Whom this does not reach is gone, and that shows when it is read from next.
    connections[at].stream.write_all(b"noted\n").ok();
}

fn closed(connection: &Connection, executions: &Executions) {
    if let Some(id) = &connection.execution {
        let mut known = executions.lock().expect("nobody panics with it");
        if let Some(execution) = known.get_mut(id) {
            execution.open = false;
        }
    }
}

impl Connection {
    /// The lines that arrived; none where it is closed.
    fn read(&mut self) -> Option<Vec<String>> {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.text.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Some(lines)
    }

    /// Whether the other side lives now. What arrived stays to be read.
    fn is_open(&mut self) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.text.extend_from_slice(&buffer[..count]),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    /// An execution that has begun.
    fn begun(witness: &Witness, id: &str, place: &str) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, witness.port)).unwrap();
        writeln!(stream, "begin 1/work a {id} {place}").unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        assert_eq!(answer, "noted\n");
        stream
    }

    fn witness() -> (Witness, Arc<Ledger>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::new(&folder.path().join("history")).unwrap());
        (Witness::start(Arc::clone(&ledger)).unwrap(), ledger, folder)
    }

    #[test]
    fn two_places_that_execute_one_job_at_once_break_a_promise() {
        let (witness, ledger, _folder) = witness();

        let _one = begun(&witness, "x", "p");
        let _other = begun(&witness, "y", "q");

        assert!(ledger.all_broken()[0].starts_with("two attempts of job 1/work execute at once"));
    }

    #[test]
    fn one_after_the_other_and_several_in_one_place_are_fine() {
        let (witness, ledger, _folder) = witness();

        let one = begun(&witness, "x", "p");
        let more = begun(&witness, "y", "p");
        drop((one, more));
        let _other = begun(&witness, "z", "q");

        assert_eq!(ledger.all_broken(), Vec::<String>::new());
    }
}
