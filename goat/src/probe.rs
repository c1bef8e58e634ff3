//! `probe`: asks a running `run-task` whether it is live, for engines that check the health of a container by
//! running a command in it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::error::GoatError;

/// How long the whole of it may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The answer's first line is all that matters.
const LONGEST: u64 = 4096;

/// Asks `GET /live` at `address`.
///
/// # Errors
/// [`GoatError::Probe`] unless the answer is 200.
pub(crate) fn probe(address: &str) -> Result<(), GoatError> {
    let failed = |why: String| GoatError::Probe(address.to_owned(), why);
    let deadline = Instant::now() + PATIENCE;
    let answer = ask(address, deadline).map_err(|error| failed(reason(&error)))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if answer.starts_with("HTTP/1.") && status == "200" {
        Ok(())
    } else {
        Err(failed(format!(
            "it answered `{}`",
            answer.lines().next().unwrap_or_default()
        )))
    }
}

/// A stream says `WouldBlock` where its time is over, and that is no word for people.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("it did not answer within {} s", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    }
}

fn ask(address: &str, deadline: Instant) -> io::Result<String> {
    let mut stream = connect(&targets(address)?, deadline)?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What listens on every address is asked on loopback.
fn targets(address: &str) -> io::Result<Vec<SocketAddr>> {
    let mut targets: Vec<SocketAddr> = match address.strip_prefix(':') {
        Some(port) => {
            let port = port
                .parse()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            vec![(Ipv4Addr::UNSPECIFIED, port).into()]
        }
        None => address.to_socket_addrs()?.collect(),
    };
    if let Some(port) = targets
        .iter()
        .find(|target| target.ip().is_unspecified())
        .map(SocketAddr::port)
    {
        targets = vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ];
    }
    Ok(targets)
}

fn connect(targets: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the address is unknown");
    for target in targets {
        match TcpStream::connect_timeout(target, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}
