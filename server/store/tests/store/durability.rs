//! What was acknowledged is there, however the process ended.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use store::{Accepted, Store};

use super::bench::{Bench, new_pipeline, settings};
use super::pipelines::delivery;

/// Names the folder in which a child of this test binary takes deliveries until it is killed.
const CHILD: &str = "GOATHERD_TEST_STORE_CHILD";

/// How many acknowledged deliveries the parent waits for before it kills.
const ENOUGH: usize = 200;

/// Not a test by itself: the child's part of the one below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child_takes_deliveries_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let store = Store::open(Path::new(&folder), settings()).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let store = store.clone();
        callers.spawn(async move {
            for number in 0.. {
                let id = format!("{caller}-{number}");
                let taken = store
                    .accept_delivery(delivery(&id, &id), Some(new_pipeline("r")))
                    .await
                    .unwrap();
                assert!(matches!(taken, Accepted::New(Some(_))));
                // One write, so that lines of two threads do not mix and none is cut by anything but the kill.
                std::io::stdout()
                    .write_all(format!("acknowledged {id}\n").as_bytes())
                    .unwrap();
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test]
async fn every_acknowledged_delivery_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "durability::the_child_takes_deliveries_until_it_is_killed",
        ])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();

    while acknowledged.len() < ENOUGH {
        let line = lines.next().expect("the child runs until it is killed").unwrap();
        acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
    }
    child.kill().unwrap();
    for line in lines.map_while(Result::ok) {
        acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
    }
    child.wait().unwrap();

    let store = Store::open(folder.path(), settings()).await.unwrap();
    for id in &acknowledged {
        let again = store.accept_delivery(delivery(id, id), None).await.unwrap();
        assert!(matches!(again, Accepted::Repeated(Some(_))), "{id}: {again:?}");
    }
    // One that was written may have lost its answer, but none is half there.
    assert!(store.uncompiled().await.unwrap().len() >= acknowledged.len());
    store.close().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_files_before_anything_is_closed() {
    let bench = Bench::new().await;
    let taken = bench
        .store
        .accept_delivery(delivery("1", "a"), Some(new_pipeline("r")))
        .await
        .unwrap();

    let after = bench.killed().await;

    let Accepted::New(pipeline) = taken else {
        panic!("{taken:?}")
    };
    let again = after
        .store
        .accept_delivery(delivery("1", "a"), None)
        .await
        .unwrap();
    assert_eq!(again, Accepted::Repeated(pipeline));
    assert_eq!(after.store.installation(), bench.store.installation());
}
