//! GOAT beside other inits: each the PID 1 of a namespace, all of them in turns, so that what else the machine does
//! hits all alike. Figures are medians.

mod contestant;
mod copy;
mod health;
mod lifecycle;
mod orphans;
mod run;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use self::contestant::Contestant;
use crate::Size;
use crate::table::{Other, Table, median};

/// What is measured, and with what.
pub(crate) struct Field {
    folder: TempDir,
    /// The measuring end of each run: `probe.c`.
    probe: PathBuf,
    contestants: Vec<Contestant>,
    rounds: usize,
}

pub(crate) fn measure(table: &mut Table, size: Size) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("goatherd-bench-").tempdir()?;
    let probe = compiled(folder.path(), "probe", include_str!("goat/probe.c"))?;
    let bare = compiled(folder.path(), "init", include_str!("goat/init.c"))?;
    let field = Field {
        contestants: contestant::all(bare)?,
        folder,
        probe,
        rounds: size.repeats,
    };
    lifecycle::size(table, &field)?;
    lifecycle::measure(table, &field)?;
    orphans::measure(table, &field)?;
    copy::measure(table, &field)?;
    health::measure(table, &field)?;
    Ok(())
}

impl Field {
    /// Ours, and the others that a figure is known of.
    fn split<T>(&self, figures: Vec<T>) -> (T, Vec<(&'static str, T)>) {
        let mut named = self.contestants.iter().map(|one| one.name).zip(figures);
        let (_, ours) = named.next().expect("GOAT is the first contestant");
        (ours, named.collect())
    }

    /// The medians of several runs of each, ours first; those without a figure are left out.
    fn medians(&self, figures: Vec<Vec<f64>>) -> anyhow::Result<(f64, Vec<Other>)> {
        let (ours, others) = self.split(figures);
        anyhow::ensure!(!ours.is_empty(), "GOAT has no figure");
        let others = others
            .into_iter()
            .filter(|(_, figures)| !figures.is_empty())
            .map(|(name, figures)| Other {
                name,
                figure: median(figures),
            })
            .collect();
        Ok((median(ours), others))
    }
}

/// A static program of one C file.
fn compiled(folder: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let (file, program) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&file, source)?;
    let status = Command::new("musl-gcc")
        .args(["-static", "-O2", "-s", "-o"])
        .args([&program, &file])
        .status()
        .context("musl-gcc cannot be run; Debian's musl-tools has it")?;
    anyhow::ensure!(status.success(), "{name}.c cannot be compiled");
    Ok(program)
}
