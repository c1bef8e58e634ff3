//! From the command line to the exit code.

use std::process::ExitCode;

use anyhow::Context as _;
use runtime::logs::Verbosity;

use crate::commands;
use crate::config::{Command, CommandLine, Pipeline, Token, Webhook};
use crate::error::{Ending, Failure, exit_code};
use crate::output;

/// Does what the command line says.
pub(crate) fn run(line: CommandLine) -> ExitCode {
    runtime::logs::start(verbosity(&line));
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(line.command));
            // What still runs is waiting for something that nobody needs any more.
            runtime.shutdown_background();
            // Whoever asked for output and got none must not take it for a success.
            match (result, output::unwritten()) {
                (Ok(Ending::Succeeded), Some(error)) => Err(Failure::Other(anyhow::anyhow!(
                    "cannot write to standard output: {error}"
                ))),
                // It has a code of its own already.
                (result, Some(error)) => {
                    output::complain(&format!("error: cannot write to standard output: {error}"));
                    result
                }
                (result, None) => result,
            }
        }
        Err(error) => Err(Failure::Other(anyhow::Error::new(error).context("cannot start"))),
    };
    match &result {
        Ok(_) => {}
        Err(Failure::Usage(why)) => {
            output::complain(&format!("error: {why}\n\nFor more information, try '--help'."));
        }
        Err(Failure::Replaced(error)) => output::complain(&format!("error: {error}")),
        Err(Failure::Other(error)) => output::complain(&format!("error: {error:#}")),
    }
    exit_code(&result)
}

async fn dispatch(command: Command) -> Result<Ending, Failure> {
    match command {
        Command::Server(arguments) => commands::server::run(arguments, watch()?).await,
        Command::Agent(arguments) => commands::agent::run(arguments, watch()?).await,
        Command::Run(arguments) => commands::run::run(arguments, watch()?).await,
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Token(Token::Create(arguments)) => commands::token::create(arguments).await,
        Command::Follow(arguments) => commands::follow::run(&arguments).await,
        Command::Pipelines(arguments) => commands::pipelines::list(&arguments).await,
        Command::Pipeline(Pipeline::Show(arguments)) => commands::pipelines::show(&arguments).await,
        Command::Logs(arguments) => commands::logs::run(&arguments).await,
        Command::Cancel(arguments) => commands::cancel::run(&arguments).await,
        Command::Rerun(arguments) => commands::rerun::run(&arguments).await,
        Command::Artifacts(arguments) => commands::artifact::run(&arguments).await,
        Command::Doctor(arguments) => commands::doctor::run(&arguments).await,
        Command::Audit(arguments) => commands::audit::run(&arguments).await,
        Command::Webhook(Webhook::Send(arguments)) => commands::webhook::send(arguments).await,
    }
}

fn watch() -> Result<runtime::stop::Stops, Failure> {
    Ok(runtime::stop::watch().context("cannot watch for signals")?)
}

/// Servers and agents log their life cycles; a command for people only what went wrong.
fn verbosity(line: &CommandLine) -> Verbosity {
    match (&line.command, line.verbose) {
        (_, true) => Verbosity::Verbose,
        (Command::Server(_) | Command::Agent(_), false) => Verbosity::Normal,
        _ => Verbosity::Quiet,
    }
}
