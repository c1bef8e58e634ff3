//! From the command line to the exit code.

use std::cell::OnceCell;
use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use runtime::logs::Verbosity;
use runtime::stop::Stops;

use crate::commands;
use crate::config::{Command, CommandLine, Pipeline, Token, Webhook};
use crate::error::{Ending, Failure, exit_code};
use crate::output;

/// Does what the command line says.
pub(crate) fn run(line: CommandLine) -> ExitCode {
    runtime::logs::start(verbosity(&line));
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(to_the_last_word(line.command));
            // What still runs is waiting for something that nobody needs any more.
            runtime.shutdown_background();
            result
        }
        Err(error) => {
            let failure = Failure::Other(anyhow::Error::new(error).context("cannot start"));
            output::complain(&sentence(&failure));
            Err(failure)
        }
    };
    exit_code(&result)
}

/// Does it, and says what went wrong. Nobody may read that: signals are heeded until it is said.
async fn to_the_last_word(command: Command) -> Result<Ending, Failure> {
    let stops = OnceCell::new();
    let result = dispatch(command, &stops).await;
    let (result, told) = match (result, output::unwritten()) {
        // Whoever asked for output and got none must not take it for a success.
        (Ok(Ending::Succeeded), Some(error)) => {
            let failure = Failure::Other(anyhow::anyhow!("{}", missing(error)));
            let told = sentence(&failure);
            (Err(failure), vec![told])
        }
        // It has a code of its own already.
        (result, error) => {
            let unwritten = error.map(|error| format!("error: {}", missing(error)));
            let failed = result.as_ref().err().map(sentence);
            (result, unwritten.into_iter().chain(failed).collect())
        }
    };
    if !told.is_empty() {
        let told = output::tell(told.join("\n"));
        match stops.get() {
            Some(stops) => tokio::select! {
                () = told => {}
                () = output::in_a_hurry(stops) => {}
            },
            // Unwatched, a signal ends the process.
            None => told.await,
        }
    }
    result
}

fn missing(error: &io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::Usage(why) => format!("error: {why}\n\nFor more information, try '--help'."),
        Failure::Replaced(error) => format!("error: {error}"),
        Failure::Other(error) => format!("error: {error:#}"),
    }
}

async fn dispatch(command: Command, stops: &OnceCell<Stops>) -> Result<Ending, Failure> {
    match command {
        Command::Server(arguments) => commands::server::run(arguments, watch(stops)?).await,
        Command::Agent(arguments) => commands::agent::run(arguments, watch(stops)?).await,
        Command::Run(arguments) => commands::run::run(arguments, watch(stops)?).await,
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

fn watch(stops: &OnceCell<Stops>) -> Result<Stops, Failure> {
    let watched = runtime::stop::watch().context("cannot watch for signals")?;
    Ok(stops.get_or_init(|| watched).clone())
}

/// Servers and agents log their life cycles; a command for people only what went wrong.
fn verbosity(line: &CommandLine) -> Verbosity {
    match (&line.command, line.verbose) {
        (_, true) => Verbosity::Verbose,
        (Command::Server(_) | Command::Agent(_), false) => Verbosity::Normal,
        _ => Verbosity::Quiet,
    }
}
