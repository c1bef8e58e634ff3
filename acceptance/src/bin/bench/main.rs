//! `./do bench`: how fast and how small it is, in one run and one table.
//!
//! Each figure stands beside what it is to be compared with: the same done by `sh` now, the best peer as measured on
//! the same kind of machine (two cores), or the limit that is aimed at. It asserts nothing about time.

#![allow(clippy::print_stdout, reason = "its table is its output")]

mod goat;
mod local;
mod logs;
mod memory;
mod pipelines;
mod table;
mod webhooks;

use clap::Parser;
use internal_testing::{Installation, Options};

use crate::table::Table;

/// Measures; everything unless parts are named.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to measure: goat, local, log, pipelines, webhooks, memory.
    parts: Vec<String>,
    /// A tenth of the work: to see that it runs.
    #[arg(long)]
    quick: bool,
}

/// How much work is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// How often a short thing is repeated for its median.
    pub(crate) repeats: usize,
    /// Bytes of log.
    pub(crate) log: u64,
    /// Pipelines.
    pub(crate) pipelines: usize,
    /// Webhooks.
    pub(crate) webhooks: usize,
}

const WHOLE: Size = Size {
    repeats: 31,
    log: 200_000_000,
    pipelines: 150,
    webhooks: 6000,
};
const QUICK: Size = Size {
    repeats: 3,
    log: 20_000_000,
    pipelines: 15,
    webhooks: 600,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let size = if arguments.quick { QUICK } else { WHOLE };
    let wanted = |part: &str| arguments.parts.is_empty() || arguments.parts.iter().any(|named| named == part);
    let mut table = Table::new();
    if wanted("goat") {
        goat::measure(&mut table, size)?;
    }
    if wanted("local") {
        local::measure(&mut table, size)?;
    }
    if wanted("log") {
        logs::measure(&mut table, size).await;
    }
    if wanted("pipelines") {
        pipelines::measure(&mut table, size).await;
    }
    if wanted("webhooks") {
        webhooks::measure(&mut table, size).await?;
    }
    if wanted("memory") {
        memory::measure(&mut table).await?;
    }
    Ok(())
}

/// An installation with the terms that ship.
pub(crate) fn installation() -> Installation {
    Installation::start(&Options {
        terms: api::Terms::default(),
        ..Options::default()
    })
}
