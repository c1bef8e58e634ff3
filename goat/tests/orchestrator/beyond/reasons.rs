//! Why a task ended, in words and as JSON (G5, G6).

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use internal_testing::RunnerApi;

use crate::place::{Place, Running, another_is_tested, eventually};

#[test]
fn an_end_by_a_signal_names_it() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    // The first one is taken by Rust's own handler, which is there for overflown stacks.
    let place = Place::told("signal=SEGV:self signal=SEGV:self sleep").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    let told = api.calls()[0].message();
    assert!(
        told.contains("unexpected error: signal: segmentation fault"),
        "{told}"
    );
    assert_eq!(place.termination()["signal"], 11);
    assert!(
        place.last_words().ends_with(" (ended by SIGSEGV)"),
        "{}",
        place.last_words()
    );
}

#[test]
fn what_a_shell_means_by_a_number_is_said_in_words() {
    if another_is_tested() {
        return;
    }
    for (code, words) in [
        (
            126,
            " (126 says that a command was found and could not be executed)",
        ),
        (127, " (127 says that a command was not found)"),
        (139, " (139 says that a command was ended by SIGSEGV)"),
    ] {
        let place = Place::told(&format!("exit={code}")).reporting_to(&RunnerApi::http());

        assert_eq!(place.run(), 0, "{}", place.log());

        assert!(place.last_words().ends_with(words), "{}", place.last_words());
    }
}

#[test]
fn the_oom_killer_is_named_with_limit_and_peak() {
    if another_is_tested() {
        return;
    }
    let Some(group) = MemoryGroup::of(32 * 1024 * 1024) else {
        return;
    };
    let api = RunnerApi::http();
    let place = Place::told("allocate=100000000 sleep").reporting_to(&api);
    let procs = group.0.join("cgroup.procs").display().to_string();
    let inside = ["/bin/sh", "-c", "echo $$ > \"$0\" && exec \"$@\"", procs.as_str()];

    assert_eq!(
        Running::start(place.command_by(&inside)).end(),
        0,
        "{}",
        place.log()
    );

    assert_eq!(place.termination()["oom"], true, "{}", place.last_words());
    let words = " (ended by SIGKILL, by the kernel's OOM killer, at a limit of 33554432 bytes, the peak was ";
    assert!(place.last_words().contains(words), "{}", place.last_words());
    // It was the task agent that had to go, and the supervisor that told.
    assert!(api.calls()[0].message().contains("signal: killed"));
}

#[test]
fn a_kill_by_someone_else_is_not_blamed_on_memory() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("signal=KILL:self sleep").reporting_to(&RunnerApi::http());

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.termination()["oom"], false);
    assert!(
        place.last_words().ends_with(" (ended by SIGKILL)"),
        "{}",
        place.last_words()
    );
}

/// A control group with a limit (cgroup v1).
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn of(limit: u64) -> Option<Self> {
        let folder = Path::new("/sys/fs/cgroup/memory").join(format!("goat-test-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&folder) {
            println!("skipped: a limit needs the memory controller of cgroup v1: {error}");
            return None;
        }
        let group = Self(folder);
        fs::write(group.0.join("memory.limit_in_bytes"), limit.to_string()).expect("it is ours");
        // Where there is swap, it would take what the limit refuses.
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), limit.to_string());
        Some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        eventually("an empty control group", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn the_termination_message_holds_all_that_is_known() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("allocate=20000000 complain=no-luck sleep=50 exit=7").reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    let message = place.termination();
    assert_eq!(message["kind"], "task_agent_ended");
    assert_eq!(
        place.last_words(),
        "error while executing task agent: task agent command exited with an unexpected error: exit status \
         7: no-luck\n: Check container logs for more details"
    );
    assert_eq!(message["exit_code"], 7);
    assert_eq!(message.get("signal"), None);
    assert_eq!(
        (&message["oom"], &message["reported"]),
        (&false.into(), &true.into())
    );
    assert!(
        message["duration_ms"]
            .as_u64()
            .is_some_and(|time| (50..60_000).contains(&time))
    );
    assert!(message["max_rss_kib"].as_u64().is_some_and(|size| size > 19_000));
}

#[test]
fn a_good_end_is_told_too() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("");

    assert_eq!(place.run(), 0, "{}", place.log());

    let message = place.termination();
    assert_eq!(
        (&message["kind"], &message["exit_code"]),
        (&"completed".into(), &0.into())
    );
}

#[test]
fn a_report_that_was_refused_is_told_as_such() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("exit=7").with("runner_api_base_url", "");

    assert_eq!(place.run(), 1);

    assert_eq!(place.termination()["reported"], false);
    assert!(
        place.log().contains("the runner API cannot be called"),
        "{}",
        place.log()
    );
}

#[test]
fn a_port_that_is_taken_is_told_where_the_configuration_says() {
    if another_is_tested() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    let place = Place::told("");
    let mut command = place.bare_command(&[]);
    command
        .arg(format!("--health-check-addr={address}"))
        .env("CIRCLECI_GOAT_CONFIG", place.config.to_string());

    assert_eq!(Running::start(command).end(), 1, "{}", place.log());

    assert_eq!(place.termination()["kind"], "configuration");
    assert!(place.last_words().contains(&address), "{}", place.last_words());
}

#[test]
fn the_message_is_shortened_to_4096_bytes() {
    if another_is_tested() {
        return;
    }
    let argv = ["/no/such/entrypoint".to_owned(), "x".repeat(9000)];
    let place = Place::told("")
        .reporting_to(&RunnerApi::http())
        .with("cmd", argv.as_slice());

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.termination()["kind"], "entrypoint_not_started");
    let size = place.text("termination").len();
    assert!(size <= 4096 && size > 4000, "{size}");
}

#[test]
fn a_link_in_the_messages_place_is_not_followed() {
    if another_is_tested() {
        return;
    }
    let place = Place::new("rm $PLACE/termination && ln -s $PLACE/another $PLACE/termination");
    fs::write(place.path("another"), "as it was").expect("it is written");

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.text("another"), "as it was");
    assert!(
        place
            .log()
            .contains("the termination message could not be written"),
        "{}",
        place.log()
    );
}
