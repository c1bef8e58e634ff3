//! `orchestrator`: reads what it was told, does it, and ends with an exit code.

use std::process::ExitCode;

use goat::config::Config;
use goat::logs;

fn main() -> ExitCode {
    let outcome = Config::from_process()
        .and_then(Config::build)
        .and_then(goat::app::App::run);
    outcome.unwrap_or_else(|error| {
        logs::say(&format!("orchestrator: {}", logs::chain(&error)));
        error.exit_code()
    })
}
