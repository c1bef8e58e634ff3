//! Small and quick (G12), as it ships: `./do build --release` and, in CI, `./do test` make that build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, Running, another_is_tested};

/// What the contract allows, in bytes: of the file, and resident.
const LARGEST: u64 = 3_000_000;
/// From execve to the task agent's execve.
const SLOWEST: Duration = Duration::from_millis(5);

/// The binary that ships, if it was built from the sources as they are.
fn shipped() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/x86_64-unknown-linux-musl/tiny/orchestrator"
    ));
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified());
    // What cargo built it from: `PROGRAM: SOURCE SOURCE ...`.
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let mut sources = sources.split_whitespace().skip(1);
    let why = match changed(&path) {
        Ok(built) if sources.all(|source| changed(source.as_ref()).is_ok_and(|time| time <= built)) => {
            return Some(path);
        }
        Ok(_) => "is older than its sources",
        Err(_) => "was not built",
    };
    println!("skipped: {} {why}: ./do build --release", path.display());
    assert!(std::env::var_os("CI").is_none(), "{} {why}", path.display());
    None
}

/// The place's command with the binary that ships.
fn shipping(place: &Place, binary: &Path) -> Command {
    let usual = place.command();
    let mut command = Command::new(binary);
    command.args(usual.get_args()).env_clear().stdin(Stdio::null());
    for (name, value) in usual.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .stdout(Stdio::null())
        .stderr(File::create(place.path("log")).expect("it is made"));
    command
}

#[test]
fn the_binary_that_ships_is_under_three_megabytes() {
    if another_is_tested() {
        return;
    }
    let Some(binary) = shipped() else { return };

    let size = binary.metadata().expect("it is there").len();

    assert!(size < LARGEST, "{size} bytes");
}

#[test]
fn it_is_under_three_megabytes_resident() {
    if another_is_tested() {
        return;
    }
    let Some(binary) = shipped() else { return };
    let place = Place::told("write=@/up await=@/go");
    let running = Running::start(shipping(&place, &binary));
    place.wait_for("up");

    let pid = u32::try_from(running.pid()).expect("a pid");
    let peak = internal_testing::memory::peak(pid).expect("it runs") * 1024;

    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(peak < LARGEST, "{peak} bytes");
}

#[test]
fn the_task_agent_is_started_within_five_milliseconds() {
    if another_is_tested() {
        return;
    }
    let Some(binary) = shipped() else { return };
    let place = Place::told("").with("task_agent_path", "/bin/true");
    let mut times = Vec::new();
    // The whole run, which is longer. Others may use the machine, so one try of many has to do.
    for _ in 0..300 {
        let mut command = shipping(&place, &binary);
        let start = Instant::now();
        assert!(command.status().expect("it runs").success(), "{}", place.log());
        times.push(start.elapsed());
        if times.last().is_some_and(|time| *time < SLOWEST) {
            return;
        }
    }

    panic!("{:?} at best", times.iter().min());
}
