//! Collecting children. One test alone: `wait_any` takes the children of the whole program.

use std::time::{Duration, Instant};

use sys::process::{End, Reaped, SpawnRequest, Waited, spawn, wait_any};

fn start(script: &str) -> sys::process::Pid {
    let mut request = SpawnRequest::new(["/bin/sh", "-c", script]);
    request.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    spawn(request).expect("it starts").pid
}

fn next() -> Reaped {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match wait_any().expect("waiting works") {
            Waited::Child(reaped) => return reaped,
            Waited::NoneEnded if Instant::now() < deadline => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_child_is_collected_with_its_end_and_orphans_too() {
    assert_eq!(wait_any().expect("waiting works"), Waited::NoChildren);
    sys::process::set_subreaper().expect("any kernel has it");

    let exits = start("exit 7");
    let reaped = next();
    assert_eq!((reaped.pid, reaped.end), (exits, End::Exited(7)));
    assert!(reaped.usage.max_rss_kib > 0);

    let killed = start("kill -9 $$");
    let reaped = next();
    assert_eq!(
        (reaped.pid, reaped.end),
        (
            killed,
            End::Signalled {
                signal: 9,
                core_dumped: false
            }
        )
    );

    // The inner shell is an orphan before it ends, because its parent does not wait for it.
    let parent = start("{ while kill -0 $$ 2>/dev/null; do :; done; exit 9; } & exit 0");
    assert_eq!((next().pid, next().end), (parent, End::Exited(9)));

    let runs = start("exec sleep 600");
    assert_eq!(wait_any().expect("waiting works"), Waited::NoneEnded);
    sys::process::kill_process(runs, sys::process::Signal::SIGKILL).expect("it is ours");
    assert_eq!(next().pid, runs);
    assert_eq!(wait_any().expect("waiting works"), Waited::NoChildren);
}
