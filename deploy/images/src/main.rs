//! `images`: assembles the images that ship from binaries that are built, and pushes them. `./do images` calls it.
//!
//! It owns what an image is, byte for byte: the same binaries, commit and version give the same digests on every
//! machine. It builds no binary, and it needs no engine.

mod archive;
mod arguments;
mod assemble;
mod binary;
mod blob;
mod image;
mod labels;
mod layer;
mod layout;
mod moment;
mod pins;
mod registry;
mod sbom;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};

#[allow(
    clippy::print_stderr,
    reason = "the one place that tells the user of a failure"
)]
fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("images: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let text = match arguments.command {
        Command::Assemble(wanted) => assemble::assemble(&wanted)?,
        Command::Push { layout, reference } => registry::push(&layout, &reference)?,
        Command::Check(wish) => assemble::check(&wish)?,
        Command::Pins { list } => pins::lines(&list)?,
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
