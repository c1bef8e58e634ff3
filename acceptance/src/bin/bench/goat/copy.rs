//! How long `init` copies, beside `cp`: with all of the machine, and with a twentieth of a processor.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::Field;
use super::contestant::Kind;
use super::lifecycle::PEER;
use super::run::Notes;
use crate::table::{Better, Other, Table, median};

/// Bytes of a megabyte.
const MEGABYTE: usize = 1_000_000;
/// Microseconds of processor time in each [`PERIOD`]: 50 m, as Kubernetes writes it.
const QUOTA: &str = "5000";
/// Microseconds.
const PERIOD: &str = "100000";
/// How often the larger ones are copied: under the limit they take seconds. The smallest ends within the first
/// period or in a later one, which only many rounds show.
const ROUNDS: usize = 5;

pub(super) fn measure(table: &mut Table, field: &Field) -> anyhow::Result<()> {
    let limit = Limit::new();
    for megabytes in [5, 50, 200] {
        let source = field.folder.path().join(format!("source-{megabytes}"));
        fill(&source, megabytes)?;
        copies(
            table,
            field,
            &source,
            &format!("goat: init of {megabytes} MB"),
            None,
        )?;
        match &limit {
            Ok(limit) => {
                let what = format!("goat: init of {megabytes} MB, 50 m CPU");
                copies(table, field, &source, &what, Some(limit))?;
            }
            Err(error) => println!("goat: init of {megabytes} MB, 50 m CPU: not measured: {error:#}"),
        }
        fs::remove_dir_all(source)?;
    }
    Ok(())
}

/// What `init` copies; the task agent is the larger part.
fn fill(source: &Path, megabytes: usize) -> anyhow::Result<()> {
    fs::create_dir(source)?;
    let block: Vec<u8> = (0..=255).cycle().take(MEGABYTE).collect();
    for (name, size) in [
        ("orchestrator", megabytes / 5),
        ("circleci-agent", megabytes - megabytes / 5),
    ] {
        let mut file = fs::File::create(source.join(name))?;
        for _ in 0..size {
            file.write_all(&block)?;
        }
    }
    Ok(())
}

fn copies(
    table: &mut Table,
    field: &Field,
    source: &Path,
    what: &str,
    limit: Option<&Limit>,
) -> anyhow::Result<()> {
    let mut copiers = vec![("cp", PathBuf::from("cp"))];
    let orchestrators = field
        .contestants
        .iter()
        .filter(|one| one.kind == Kind::Orchestrator);
    copiers.extend(orchestrators.map(|one| (one.name, one.program.clone())));
    let mut times = vec![Vec::new(); copiers.len()];
    let rounds = if what.contains(" 5 MB") {
        field.rounds
    } else {
        ROUNDS.min(field.rounds)
    };
    for _ in 0..rounds {
        for (times, (name, program)) in times.iter_mut().zip(&copiers) {
            times.push(copy(field, source, program, *name != "cp", limit)?);
        }
    }
    let mut figures = copiers.iter().zip(times).map(|((name, _), times)| Other {
        name,
        figure: median(times),
    });
    let cp = figures.next().context("cp is there")?;
    let ours = figures.next().context("GOAT is there")?.figure;
    let mut others = vec![cp];
    others.extend(figures);
    // Known of its own binaries, which are 37 MB.
    if what.contains(" 50 MB") {
        others.push(Other {
            name: PEER,
            figure: if limit.is_some() { 589.0 } else { 25.0 },
        });
    }
    if what.ends_with(" 5 MB, 50 m CPU") {
        table.aimed(what, ours, "ms", Better::Less, &others, 50.0);
    } else {
        table.row(what, ours, "ms", Better::Less, &others);
    }
    Ok(())
}

/// Milliseconds from the execve to the end.
fn copy(
    field: &Field,
    source: &Path,
    program: &Path,
    is_init: bool,
    limit: Option<&Limit>,
) -> anyhow::Result<f64> {
    let scratch = tempfile::tempdir_in(field.folder.path())?;
    let (target, notes) = (scratch.path().join("target"), scratch.path().join("notes"));
    fs::create_dir(&target)?;
    // Where there is no limit, it is put where all of its own are anyway.
    let tasks = limit.map_or_else(
        || PathBuf::from("/dev/null"),
        |limit| limit.folder.join("cgroup.procs"),
    );
    let mut command = Command::new(&field.probe);
    command.arg("limited").arg(&notes).arg(tasks).arg(program);
    if is_init {
        command.arg("init").arg(source).arg(&target);
    } else {
        command
            .args(["orchestrator", "circleci-agent"].map(|name| source.join(name)))
            .arg(&target);
    }
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "{} could not copy", program.display());
    Notes::read(&notes)?.between("exec", "gone")
}

/// A control group with a twentieth of a processor, v1 or v2; removed when it is dropped.
struct Limit {
    folder: PathBuf,
}

impl Limit {
    fn new() -> anyhow::Result<Self> {
        let name = format!("goatherd-bench-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/cpu");
        let second = Path::new("/sys/fs/cgroup");
        let (root, files) = if first.join("cpu.cfs_quota_us").exists() {
            (
                first,
                vec![
                    ("cpu.cfs_period_us", PERIOD.to_owned()),
                    ("cpu.cfs_quota_us", QUOTA.to_owned()),
                ],
            )
        } else {
            (second, vec![("cpu.max", format!("{QUOTA} {PERIOD}"))])
        };
        let folder = root.join(name);
        fs::create_dir(&folder)
            .with_context(|| format!("no control group can be made in {}", root.display()))?;
        let limit = Self { folder };
        for (file, text) in files {
            fs::write(limit.folder.join(file), text).context("the processor time cannot be limited")?;
        }
        Ok(limit)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
