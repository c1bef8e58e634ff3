//! `circleci-agent`: the task agent, the `circleci` helper, and git's credential helper, by how it is called.

use std::io::Write as _;
use std::process::ExitCode;

use task_agent::config::{Invocation, USAGE, parse};
use task_agent::error::TaskAgentError;
use task_agent::{app, credential};

fn main() -> ExitCode {
    let result = match parse(std::env::args_os()) {
        Ok(Invocation::Run(config)) => app::run(*config),
        Ok(Invocation::Credential { socket, action }) => credential::answer_git(&socket, &action),
        Ok(Invocation::Helper) => Err(TaskAgentError::Helper),
        Ok(Invocation::Version) => say(&format!("circleci-agent {}\n", runtime::build::VERSION)),
        Ok(Invocation::Help) => say(USAGE),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The last line of standard error: GOAT puts it into its report. A closed one is no reason to fail.
            let _ = writeln!(std::io::stderr(), "circleci-agent: {}", error.chain());
            ExitCode::from(error.exit_code())
        }
    }
}

fn say(text: &str) -> Result<(), TaskAgentError> {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}
