//! Orphans and leftovers (G1, G2, G9).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use internal_testing::RunnerApi;

use crate::place::{Place, Running, another_is_tested, eventually, get};
use crate::starters::as_init;

/// An orphan that leaves every group and does not heed TERM.
const STUBBORN: &str = "orphan=session,ignore=TERM,ignore=HUP,write=@/up,sleep await=@/up";
/// In seconds.
const DAY: f64 = 86_400.0;

#[test]
fn nothing_outlives_the_init_of_a_namespace() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let place = Place::told(STUBBORN);

    assert_eq!(place.run_by(starter), 0, "{}", place.log());

    assert!(place.processes().is_empty(), "{:?}", place.processes());
}

#[test]
fn nothing_outlives_a_supervisor_that_is_no_init() {
    if another_is_tested() {
        return;
    }
    let place = Place::told(STUBBORN).with_entrypoint("child=session,write=@/beside,sleep sleep");

    assert_eq!(place.run(), 0, "{}", place.log());

    assert!(place.processes().is_empty(), "{:?}", place.processes());
}

#[test]
fn it_ends_at_once_when_no_child_is_left() {
    if another_is_tested() {
        return;
    }
    // As a subreaper, and as the init of a namespace: there the kernel would end the rest, but only with it.
    for starter in [Some(&[][..]), as_init()].into_iter().flatten() {
        let place = Place::told(&format!("{STUBBORN} await=@/go write=@/over"));
        let running = Running::start(place.command_by(starter));
        place.wait_for("up");
        place.make("go");

        place.wait_for("over");
        let start = Instant::now();

        assert_eq!(running.end(), 0, "{}", place.log());
        // The bound for what does not die is two seconds; nothing here needs it.
        assert!(
            start.elapsed() < Duration::from_millis(1500),
            "{starter:?}: {:?}",
            start.elapsed()
        );
        assert!(
            !place.log().contains("does not die"),
            "{starter:?}: {}",
            place.log()
        );
    }
}

#[test]
fn what_does_not_die_holds_up_the_end_for_two_seconds() {
    if another_is_tested() {
        return;
    }
    let Some(freezer) = Freezer::new() else { return };
    let place = Place::told("orphan=session,write=@/up,sleep await=@/go write=@/over");
    let running = place.start();
    place.wait_for("up");
    let orphan = eventually("the orphan's adoption", || {
        let mut pids = place.processes().into_iter();
        pids.find(|&pid| parent_is(pid, running.pid()) && is_leader(pid))
    });
    freezer.freeze(orphan);
    place.make("go");

    place.wait_for("over");
    let start = Instant::now();

    assert_eq!(running.end(), 0, "{}", place.log());
    let took = start.elapsed();
    drop(freezer);
    assert!(took < Duration::from_secs(8), "{took:?}");
    // By its own clock: this test may be late to look, and twice the time is too long.
    let log = place.log();
    let [ended, given_up] =
        ["the task agent has ended", "a process of the task does not die"].map(|words| time_of(&log, words));
    let tried = (given_up - ended).rem_euclid(DAY);
    assert!((1.9..3.9).contains(&tried), "{tried} s: {log}");
    // The signal was sent, and takes effect once it can.
    eventually("its end", || place.processes().is_empty().then_some(()));
}

/// When the log says this, in seconds of the day.
fn time_of(log: &str, words: &str) -> f64 {
    let line = log.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no `{words}` in {log}"));
    let (_, time) = line.split_once('T').expect("a line begins with the date and a T");
    let (time, _) = time.split_once('Z').expect("and the time in UTC");
    time.split(':').fold(0.0, |sum, part| {
        sum * 60.0 + part.parse::<f64>().expect("hours, minutes, seconds")
    })
}

fn parent_is(pid: i32, parent: i32) -> bool {
    status(pid, "PPid") == Some(parent)
}

/// Whether it leads a session. The task agent leads a group only.
fn is_leader(pid: i32) -> bool {
    status(pid, "NSsid") == Some(pid)
}

fn status(pid: i32, name: &str) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// A control group whose members do not run, not even to die (cgroup v1).
struct Freezer(PathBuf);

impl Freezer {
    fn new() -> Option<Self> {
        let folder = Path::new("/sys/fs/cgroup/freezer").join(format!("goat-test-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&folder) {
            println!("skipped: a process that does not die needs the freezer of cgroup v1: {error}");
            return None;
        }
        Some(Self(folder))
    }

    fn freeze(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("it is ours");
        fs::write(self.0.join("freezer.state"), "FROZEN").expect("it freezes");
        eventually("frost", || {
            let state = fs::read_to_string(self.0.join("freezer.state")).ok()?;
            (state.trim() == "FROZEN").then_some(())
        });
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        eventually("an empty control group", || fs::remove_dir(&self.0).ok());
    }
}

/// The zombies among the children of a process.
fn zombies(parent: i32) -> usize {
    let is_zombie = |pid: &u32| !internal_testing::processes::runs(*pid);
    let children = internal_testing::processes::children(u32::try_from(parent).expect("a pid"));
    children.iter().filter(|pid| is_zombie(pid)).count()
}

#[test]
fn orphans_are_collected_while_the_task_runs() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("orphans=30 write=@/made await=@/go");
    let running = place.start();
    place.wait_for("made");

    eventually("no zombie", || (zombies(running.pid()) == 0).then_some(()));

    let figures = get(&place.address(), "/metrics");
    assert!(figures.contains("goat_orphans_reaped_total 30\n"), "{figures}");
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn the_init_of_a_namespace_collects_orphans_too() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let place = Place::told("orphans=30 write=@/made await=@/go");
    let running = crate::place::Running::start(place.command_by(starter));
    place.wait_for("made");

    eventually("no zombie", || (zombies(running.inner_pid()) == 0).then_some(()));

    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn the_status_of_the_task_agent_is_not_lost_among_orphans() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("orphans=40 exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    assert!(api.calls()[0].message().contains("exit status 7"));
    assert_eq!(place.termination()["exit_code"], 7);
}
