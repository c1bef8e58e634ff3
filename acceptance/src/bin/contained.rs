//! `contained COMMAND...`: runs a command as a default container does: namespaces are refused to it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().context("usage: contained COMMAND...")?;
    sys::namespace::filter::refuse_namespaces().context("cannot refuse namespaces")?;
    Err(Command::new(program).args(words).exec()).context("cannot execute the command")
}
