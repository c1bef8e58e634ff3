//! What people and programs read: standard output carries data, standard error everything else.

pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod terminal;
pub(crate) mod time;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use api::people::{Event, EventKind};
use runtime::stop::Stops;

use lines::{Escapes, Lines};

/// How long what is written last waits for a reader when all is to end at once.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why standard output could not be written, the first time.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Prints a whole line on standard output. What runs goes on where that fails: a reader that is gone is no
/// error, and any other is told at the end ([`unwritten`]).
pub(crate) fn line(text: &str) {
    write(&format!("{text}\n"));
}

/// Prints whole lines as [`line`] does. Cancel-safe: a reader may take its time, and whoever waits for it can turn to
/// a signal meanwhile. What is begun is written all the same, when the reader goes on before the process ends.
pub(crate) async fn print(lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let mut text = lines.join("\n");
    text.push('\n');
    patiently(move || write(&text)).await;
}

/// Says something as [`complain`] does, and is as cancel-safe as [`print`].
pub(crate) async fn tell(text: impl Into<String>) {
    let text = text.into();
    patiently(move || complain(&text)).await;
}

/// Returns a moment after the second signal: until then what is written last may wait for a reader.
pub(crate) async fn in_a_hurry(stops: &Stops) {
    stops.second.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Does what may wait for a reader without end on a thread for that.
async fn patiently(write: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(write).await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _first = UNWRITTEN.set(error);
    }
}

/// Why something is missing on standard output, where something is.
pub(crate) fn unwritten() -> Option<&'static io::Error> {
    UNWRITTEN.get()
}

/// Says something to whoever looks on, on standard error.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// A ref as people say it: `main` for `refs/heads/main`.
pub(crate) fn reference(reference: &str) -> &str {
    ["refs/heads/", "refs/tags/"]
        .iter()
        .find_map(|prefix| reference.strip_prefix(prefix))
        .unwrap_or(reference)
}

/// The beginning of a commit's id.
pub(crate) fn commit(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Rows with their columns one under the other.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How a pipeline's events are shown.
#[derive(Debug)]
pub(crate) enum View {
    /// As lines for people.
    Lines(Box<Lines>),
    /// As a JSON object a line.
    Json {
        /// Whether the last event was shown.
        finished: bool,
    },
}

impl View {
    /// Lines for people, or JSON.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            return Self::Json { finished: false };
        }
        let escapes = if io::stdout().is_terminal() {
            Escapes::KeepColours
        } else {
            Escapes::Remove
        };
        Self::Lines(Box::new(Lines::new(escapes)))
    }

    /// Shows one event. As cancel-safe as [`print`]: what comes next may be shown then.
    pub(crate) async fn show(&mut self, event: &Event) {
        match (self, &event.what) {
            (
                Self::Lines(lines),
                EventKind::StepOutput {
                    job,
                    step,
                    stream,
                    text,
                },
            ) => {
                for part in lines::parts(text) {
                    print(lines.render_output(event.time, (job, step, *stream), part)).await;
                }
            }
            (Self::Lines(lines), _) => print(lines.render(event)).await,
            (Self::Json { finished }, _) => {
                *finished |= matches!(event.what, EventKind::PipelineFinished { .. });
                print(vec![json::render(event)]).await;
            }
        }
    }

    /// Whether a program waits for a last event that was not shown yet.
    pub(crate) const fn wants_last(&self) -> bool {
        matches!(self, Self::Json { finished: false })
    }
}
