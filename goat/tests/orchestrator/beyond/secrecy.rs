//! The token is for the task agent alone (G3).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use internal_testing::RunnerApi;
use serde_json::json;
use sys::process::Signal;

use crate::place::{Place, Running, TOKEN, another_is_tested};
use crate::starters::{as_init, is_root};

#[test]
fn the_environment_block_holds_no_token_once_a_child_runs() {
    if another_is_tested() || !is_root("look into a process that is not dumpable") {
        return;
    }
    let place = Place::told("sleep").with_entrypoint("write=@/up sleep");
    let running = place.start();
    place.wait_for("up");

    let block = fs::read(format!("/proc/{}/environ", running.pid())).expect("root may read it");

    assert!(
        block.iter().all(|&byte| byte == 0),
        "{}",
        String::from_utf8_lossy(&block)
    );
}

#[test]
fn another_process_of_the_same_user_cannot_look_into_it() {
    if another_is_tested() {
        return;
    }
    let Some(starter) = as_init() else { return };
    let place = Place::new(
        "for file in environ mem maps; do
             if dd if=/proc/1/$file of=/dev/null bs=1 count=1 2>/dev/null; then echo $file; fi
         done > $PLACE/readable
         id -u > $PLACE/who",
    );
    let as_nobody = [
        "/usr/bin/setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];

    assert_eq!(
        place.run_by(&[starter, &as_nobody].concat()),
        0,
        "{}",
        place.log()
    );

    assert_eq!(place.text("who"), "65534\n");
    assert_eq!(place.text("readable"), "");
}

#[test]
fn no_command_line_environment_or_log_holds_it() {
    if another_is_tested() {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("record=@/record await=@/beside exit=7")
        .with_entrypoint("record=@/beside sleep")
        .reporting_to(&api);

    assert_eq!(place.run(), 0, "{}", place.log());

    for name in ["record", "beside"] {
        let mut record = place.record(name);
        if name == "record" {
            assert_eq!(record["stdin"].take(), TOKEN);
        }
        assert!(!record.to_string().contains(TOKEN), "{record}");
    }
    assert!(!place.log().contains(TOKEN), "{}", place.log());
    assert!(!place.text("termination").contains(TOKEN));
}

#[test]
fn one_copy_is_left_for_the_report_and_none_beside_it() {
    if another_is_tested() || !is_root("look into a process that is not dumpable") {
        return;
    }
    // Not to be confused with the constant of this program.
    let token = "an-unmistakable-token-0123456789";
    let place = Place::told("record=@/record await=@/go").with("token", token);
    let running = place.start();
    place.wait_for("record");

    let copies = occurrences(running.pid(), token.as_bytes());

    assert_eq!(copies, 1);
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

/// How often the bytes are in the memory that a process can write to.
fn occurrences(pid: i32, wanted: &[u8]) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root may read it");
    let mut memory = File::open(format!("/proc/{pid}/mem")).expect("root may read it");
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'))
            .expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
        let (start, end) = (number(start), number(end));
        memory.seek(SeekFrom::Start(start)).expect("it is seekable");
        let mut bytes = vec![0; usize::try_from(end - start).expect("it fits")];
        if memory.read_exact(&mut bytes).is_ok() {
            found += bytes
                .windows(wanted.len())
                .filter(|window| *window == wanted)
                .count();
        }
    }
    found
}

#[test]
fn it_leaves_no_core() {
    if another_is_tested() {
        return;
    }
    use std::os::unix::process::ExitStatusExt;
    const WITH_CORES: [&str; 4] = [
        "/bin/sh",
        "-c",
        "ulimit -c unlimited && cd $PLACE && exec \"$@\"",
        "sh",
    ];
    let place = Place::told("sleep").with_entrypoint("write=@/up sleep");
    let mut other = std::process::Command::new(WITH_CORES[0]);
    other
        .args(&WITH_CORES[1..])
        .args(["/bin/sh", "-c", "kill -ABRT $$"])
        .env("PLACE", place.path(""));
    if !other.status().expect("it runs").core_dumped() {
        println!("skipped: no process leaves a core here");
        return;
    }
    let running = Running::start(place.command_by(&WITH_CORES));
    place.wait_for("up");

    running.signal(Signal::SIGABRT);

    let status = running.status();
    assert_eq!(status.signal(), Some(6));
    assert!(!status.core_dumped());
}

#[test]
fn children_get_no_descriptor_but_the_standard_ones() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("record=@/record await=@/beside").with_entrypoint("record=@/beside sleep");

    assert_eq!(place.run(), 0, "{}", place.log());

    for name in ["record", "beside"] {
        // The one that the child opened for itself is the queue of its signals.
        let descriptors = &place.record(name)["descriptors"];
        assert_eq!(*descriptors, json!(["anon_inode:[signalfd]"]), "{name}");
    }
}
