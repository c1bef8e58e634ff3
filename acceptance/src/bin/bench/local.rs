//! `goatherd run` beside `sh` that does the same.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use internal_testing::{Repository, binaries};

use crate::Size;
use crate::table::{Better, Other, Table, median};

/// How many files the cloned repository has.
const FILES: usize = 400;

/// Where files are in memory (tmpfs).
const MEMORY: &str = "/dev/shm";

struct Case {
    what: &'static str,
    config: &'static str,
    /// Run in a folder of its own, with the repository's path as `$1`.
    script: &'static str,
    peer: Other,
    aim: Option<Other>,
}

const CASES: [Case; 3] = [
    Case {
        what: "run: true",
        config: "jobs: {work: {steps: [run: 'true']}}\n",
        script: "true",
        peer: Other {
            name: "woodpecker-cli local",
            figure: 33.0,
        },
        aim: Some(Other {
            name: "aim",
            figure: 33.0,
        }),
    },
    Case {
        what: "run: three steps",
        config: "jobs: {work: {steps: [run: 'true', run: 'true', run: 'true']}}\n",
        script: "sh -c true; sh -c true; sh -c true",
        peer: Other {
            name: "woodpecker-cli local",
            figure: 37.0,
        },
        aim: None,
    },
    Case {
        what: "run: clone + true",
        config: "jobs: {work: {steps: [checkout, run: 'true']}}\n",
        script: "git clone --quiet \"$1\" clone && cd clone && true",
        peer: Other {
            name: "woodpecker-cli local",
            figure: 168.0,
        },
        aim: None,
    },
];

pub(crate) fn measure(table: &mut Table, size: Size) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("goatherd-bench-").tempdir()?;
    let repository = Repository::new(&folder.path().join("repository"));
    for number in 0..FILES {
        let file = repository.folder().join(format!("source/{number}.txt"));
        std::fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        std::fs::write(file, format!("line {number}\n").repeat(200))?;
    }
    let goatherd = binaries::goatherd();
    let run = |_: &Path| {
        let mut command = Command::new(&goatherd);
        command.arg("run").current_dir(repository.folder());
        command
    };
    for case in CASES {
        repository.commit(".ci.yml", case.config);
        let ours = median_of(size.repeats, folder.path(), run)?;
        let shell = median_of(size.repeats, folder.path(), |scratch| {
            let mut command = Command::new("sh");
            command.args(["-ec", case.script, "sh"]).arg(repository.folder());
            command.current_dir(scratch);
            command
        })?;
        let mut others = vec![
            Other {
                name: "sh",
                figure: shell,
            },
            case.peer,
        ];
        others.extend(case.aim);
        table.row(case.what, ours, "ms", Better::Less, &others);
        if let Some(aim) = case.aim {
            // What is left of it without what the disk takes to make and to remove some sixty files and folders.
            let in_memory = median_of(size.repeats, folder.path(), |scratch| {
                let mut command = run(scratch);
                command.env("TMPDIR", MEMORY);
                command
            })?;
            let what = format!("{}, files in memory", case.what);
            table.row(&what, in_memory, "ms", Better::Less, &[aim]);
        }
    }
    Ok(())
}

/// The median time of a command, in milliseconds. Each run has an empty folder.
fn median_of(repeats: usize, folder: &Path, make: impl Fn(&Path) -> Command) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for number in 0..=repeats {
        let scratch = tempfile::Builder::new().prefix("scratch").tempdir_in(folder)?;
        let mut command = make(scratch.path());
        command.stdin(Stdio::null());
        let start = Instant::now();
        let output = command.output()?;
        let time = start.elapsed().as_secs_f64() * 1000.0;
        anyhow::ensure!(
            output.status.success(),
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        // The first one fills caches.
        if number > 0 {
            times.push(time);
        }
    }
    Ok(median(times))
}
