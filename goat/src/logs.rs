//! The log, a line at once to standard error.
//!
//! Standard error may be closed, or a pipe that nobody reads. Neither may stop the supervisor of a container, so
//! a line that cannot be written in time is dropped.

use std::error::Error;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;

/// The most that a pipe takes at once without blocking when it says that it takes something (pipe(7)).
pub(crate) const PIPE_ATOMIC: usize = 4096;

/// How long a line may wait for a reader who has stopped reading.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the reader was stuck the last time: then the next line does not wait.
static STUCK: AtomicBool = AtomicBool::new(false);

/// Sends the log of this process to standard error.
pub(crate) fn start() {
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        // It would print its own troubles to standard error, and panic where that is closed.
        .log_internal_errors(false)
        .with_writer(|| LineWriter)
        .finish();
    // A second one is refused, which is what a test in one process wants.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Writes a line to standard error, if it takes one.
pub fn say(line: &str) {
    let _ = LineWriter.write_all(format!("{line}\n").as_bytes());
}

/// Writes a line to standard output, if it takes one.
pub(crate) fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// An error and what is behind it, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Writes to standard error at most what it takes at once, which for a part of [`PIPE_ATOMIC`] bytes is all or
/// nothing. `false` where somebody else, a child with the same pipe, was faster: it would block. Where it is closed,
/// nobody is there to miss it.
pub(crate) fn put(mut part: &[u8]) -> bool {
    let error = io::stderr();
    while !part.is_empty() {
        match sys::stream::write_without_waiting(&error, part) {
            Ok(written) if written > 0 => part = part.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return true,
        }
    }
    true
}

/// The same, for this long: a child with the same pipe may be faster again and again, while its reader reads well.
fn put_within(part: &[u8], patience: Duration) -> bool {
    let began = Instant::now();
    loop {
        let left = patience.saturating_sub(began.elapsed());
        if !sys::stream::wait_writable(&io::stderr(), left) {
            return false;
        }
        if put(part) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
    }
}

/// Takes everything, and never blocks for long.
struct LineWriter;

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for part in line.chunks(PIPE_ATOMIC) {
            let patience = if STUCK.load(Ordering::Relaxed) {
                Duration::ZERO
            } else {
                PATIENCE
            };
            let takes = put_within(part, patience);
            STUCK.store(!takes, Ordering::Relaxed);
            if !takes {
                break;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
