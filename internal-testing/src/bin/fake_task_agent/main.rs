//! A task agent that does what it is told, and nothing else: it obeys and misbehaves on request.
//!
//! It is one static binary that needs no shell, no libc and no file, so that it also runs in an empty image. It is
//! told by the words before `_internal` of its command line (GOAT splits `task_agent_path` at spaces), else by the
//! variable `FAKE_TASK_AGENT`. Each word is an [`Act`](acts::Act); they are done one after the other, and then it
//! exits with 0:
//!
//! ```text
//! fake_task_agent record=/seen.json write=/ready on=TERM,append=/heard,exit=0 orphans=20 sleep
//! ```
#![allow(
    clippy::print_stderr,
    reason = "a script that makes no sense is told on standard error"
)]

use std::process::ExitCode;

mod acts;
mod family;
mod performer;
mod record;
mod server;

use performer::Performer;

/// Where the words of the one who starts it begin.
const INTERNAL: &str = "_internal";
/// The words, where the command line has none.
const VARIABLE: &str = "FAKE_TASK_AGENT";

fn main() -> ExitCode {
    let script = acts::parse_all(words()).and_then(Performer::new);
    let mut performer = match script {
        Ok(performer) => performer,
        Err(error) => {
            eprintln!("fake_task_agent: {error}");
            return ExitCode::from(64);
        }
    };
    match performer.perform() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("fake_task_agent: {error}");
            ExitCode::from(65)
        }
    }
}

fn words() -> Vec<String> {
    let told: Vec<String> = std::env::args()
        .skip(1)
        .take_while(|word| word != INTERNAL)
        .collect();
    if !told.is_empty() {
        return told;
    }
    let variable = std::env::var(VARIABLE).unwrap_or_default();
    variable.split_whitespace().map(str::to_owned).collect()
}
