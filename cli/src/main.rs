//! `goatherd`: server, agent, local runs and everything else that people call.

mod app;
mod below;
mod commands;
mod config;
mod error;
mod folders;
mod installed;
mod output;
mod snapshot;
mod together;
mod tools;
mod variables;
mod which;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|word| word == "sandbox").is_some() {
        // Before anything starts a thread: the sandbox makes namespaces, and a process with threads cannot.
        return driver::local::sandbox::main(arguments);
    }
    app::run(config::CommandLine::parse())
}
