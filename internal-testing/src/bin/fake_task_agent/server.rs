//! An endpoint that says when it is ready, as a service's does.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Answers at `address` until the process ends.
pub(crate) fn serve(address: &str, ready: Arc<AtomicBool>) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own matter.
            let _ = answer(&stream, ready.load(Ordering::Relaxed));
        }
    });
    Ok(())
}

fn answer(mut stream: &TcpStream, ready: bool) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let status = match request.split(' ').nth(1) {
        Some("/ready") if ready => "200 OK",
        Some("/ready") => "503 Service Unavailable",
        _ => "404 Not Found",
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}
