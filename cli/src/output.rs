//! What people and programs read: standard output carries data, standard error everything else.

pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod terminal;
pub(crate) mod time;

use std::io::{self, IsTerminal as _, Write as _};

use api::people::Event;

use lines::{Escapes, Lines};

/// Prints a whole line on standard output. A reader that is gone is no error: what runs goes on.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _gone = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}

/// Says something to whoever looks on, on standard error.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// How a pipeline's events are shown.
#[derive(Debug)]
pub(crate) enum View {
    /// As lines for people.
    Lines(Box<Lines>),
    /// As a JSON object a line.
    Json,
}

impl View {
    /// Lines for people, or JSON.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        let escapes = if io::stdout().is_terminal() {
            Escapes::KeepColours
        } else {
            Escapes::Remove
        };
        Self::Lines(Box::new(Lines::new(escapes)))
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        match self {
            Self::Lines(lines) => lines.render(event).iter().for_each(|text| line(text)),
            Self::Json => line(&json::render(event)),
        }
    }
}
