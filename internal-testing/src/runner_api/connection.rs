//! One connection: HTTP as far as the runner API needs it, by hand, because it must also be spoken wrongly.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Answer, Call, State, locked};

/// How long a client may take to send what it has begun.
const PATIENCE: Duration = Duration::from_secs(90);

/// A connection, encrypted or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Encrypted(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Encrypted(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Encrypted(stream) => stream.flush(),
        }
    }
}

/// Takes one call, and answers it. What the client breaks is the client's matter.
pub(super) fn serve(socket: TcpStream, config: Option<Arc<ServerConfig>>, state: &State) {
    let _ = socket.set_read_timeout(Some(PATIENCE));
    let mut stream = match config.map(ServerConnection::new) {
        None => Stream::Plain(socket),
        Some(Ok(connection)) => Stream::Encrypted(Box::new(StreamOwned::new(connection, socket))),
        Some(Err(_)) => return,
    };
    let Ok(Some(call)) = read(&mut stream) else { return };
    let answer = state.answer_for(&call.path);
    let connect = call.method == "CONNECT";
    locked(&state.calls).push(call);
    let tunnel = *locked(&state.tunnel);
    match (connect, tunnel, stream) {
        (true, Some(other), Stream::Plain(stream)) => drop(join(stream, other)),
        (_, _, stream) => give(stream, answer, state),
    }
}

fn read(stream: &mut Stream) -> io::Result<Option<Call>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let body = body(&mut reader, &headers)?;
    Ok(Some(Call {
        path: path_of(&target),
        method,
        target,
        headers,
        body,
        at: Instant::now(),
    }))
}

/// Of the length that is told, or in chunks (RFC 9112, section 7.1), as Go sends what it does not know the length of.
fn body(reader: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let header = |wanted: &str| {
        let mut all = headers.iter();
        all.find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if header("transfer-encoding").is_none() {
        let length = header("content-length").and_then(|value| value.parse().ok());
        body.resize(length.unwrap_or(0), 0);
        reader.read_exact(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + length, 0);
        reader.read_exact(body.get_mut(start..).unwrap_or_default())?;
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// A proxy is asked for a whole URL.
fn path_of(target: &str) -> String {
    let path = target
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|slash| rest.get(slash..)));
    path.unwrap_or(target).to_owned()
}

fn give(mut stream: Stream, answer: Answer, state: &State) {
    let bytes = match answer {
        Answer::Status(status) => head(status, ""),
        Answer::Redirect(url) => head(307, &format!("Location: {url}\r\n")),
        Answer::After(time, answer) => {
            std::thread::sleep(time);
            return give(stream, *answer, state);
        }
        Answer::Never => return locked(&state.held).push(stream),
        Answer::Reset => {
            // Closing with data that may not linger is a reset (socket(7)).
            let at_once = linger {
                l_onoff: 1,
                l_linger: 0,
            };
            let _ = setsockopt(stream.socket(), sockopt::Linger, &at_once);
            return;
        }
        Answer::CutOff => "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
        Answer::Endless => {
            let head = "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            let mut written = stream.write_all(head.as_bytes());
            // Until the client has had enough.
            while written.is_ok() {
                written = stream.write_all(chunk.as_bytes());
            }
            return;
        }
        Answer::Garbage => "220 mail.example.com ESMTP\r\n".to_owned(),
    };
    let _ = stream.write_all(bytes.as_bytes()).and_then(|()| stream.flush());
    if let Stream::Encrypted(stream) = &mut stream {
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

fn head(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Passes everything on, both ways, until one side has said all.
fn join(mut client: TcpStream, other: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(other)?;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}
