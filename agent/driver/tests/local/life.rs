//! How places begin and end, whoever is killed.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use api::Cause;
use driver::{Driver, DriverError};

use tokio::sync::mpsc::unbounded_channel;

use super::host::{Host, attempt, driver_in, eventually, order};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn starting_twice_is_starting_once() {
    let host = Host::new("sleep $MARK");
    let again = host.another_driver(false);
    let order = host.order();

    let (first, second) = tokio::join!(
        host.driver.start(&order, host.progress()),
        again.start(&order, host.progress())
    );
    first.unwrap();
    second.unwrap();
    again.start(&order, host.progress()).await.unwrap();

    eventually("it runs", || host.running().len() == 1).await;
    let places = again.list().await.unwrap();
    assert_eq!(places.len(), 1);
    assert!(places[0].running);
    assert_eq!(places[0].labels, order.labels);
    host.close().await;
}

#[tokio::test]
async fn starting_what_has_ended_does_not_run_it_again() {
    let host = Host::new("echo run >> ~/runs; exit 3");
    assert_eq!(host.run().await.code, Some(3));

    host.start().await;

    assert_eq!(host.driver.wait(&attempt()).await.unwrap().code, Some(3));
    assert_eq!(
        fs::read_to_string(host.place().join("home/runs")).unwrap(),
        "run\n"
    );
    assert!(!host.driver.list().await.unwrap()[0].running);
    host.close().await;
}

#[tokio::test]
async fn a_killed_sandbox_takes_the_task_with_it_and_is_lost() {
    let host = Host::new("setsid sleep $MARK & sleep $MARK");
    host.start().await;
    eventually("it runs", || host.running().len() == 2).await;
    let attempt = attempt();
    let waiting = host.driver.wait(&attempt);

    host.kill("sandbox", "KILL");

    let lost = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap_err();
    let cause = |lost| match lost {
        DriverError::Lost { cause, .. } => cause,
        other => panic!("{other}"),
    };
    assert_eq!(cause(lost), Cause::SupervisorLost { signal: Some(9) });
    // Only its parent is told how a process ended.
    let unseen = host.another_driver(false).wait(&attempt).await.unwrap_err();
    assert_eq!(cause(unseen), Cause::SupervisorLost { signal: None });
    assert_eq!(host.running(), Vec::<i32>::new());
    assert!(!host.driver.list().await.unwrap()[0].running);
    host.close().await;
}

#[tokio::test]
async fn a_killed_goat_is_told_with_its_signal() {
    let host = Host::new("sleep $MARK");
    host.start().await;

    host.kill("goat", "KILL");

    let exit = host.driver.wait(&attempt()).await.unwrap();
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
    assert_eq!(host.running(), Vec::<i32>::new());
    host.close().await;
}

#[tokio::test]
async fn a_term_to_the_sandbox_goes_to_goat() {
    let host = Host::new("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    host.start().await;
    host.until_log_says("ready").await;

    host.kill("sandbox", "TERM");

    assert_eq!(host.driver.wait(&attempt()).await.unwrap().code, Some(7));
    host.close().await;
}

#[tokio::test]
async fn an_agent_that_comes_later_sees_the_end() {
    let host = Host::new("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    host.start().await;
    host.until_log_says("ready").await;
    let later = host.another_driver(false);

    later.stop(&attempt(), LONG).await.unwrap();

    assert_eq!(later.wait(&attempt()).await.unwrap().code, Some(7));
    later.remove(&attempt()).await.unwrap();
    assert!(!host.place().exists());
    assert!(matches!(
        host.driver.wait(&attempt()).await,
        Err(DriverError::Lost { .. })
    ));
}

#[tokio::test]
async fn a_goat_that_ignores_term_is_killed_after_the_grace() {
    let host = Host::new("trap '' TERM; echo ready; sleep $MARK; sleep $MARK");
    host.start().await;
    host.until_log_says("ready").await;
    let asked = Instant::now();

    host.driver
        .stop(&attempt(), Duration::from_millis(300))
        .await
        .unwrap();

    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(host.running(), Vec::<i32>::new());
    assert_eq!(host.driver.wait(&attempt()).await.unwrap().signal, Some(9));
    host.driver.stop(&attempt(), LONG).await.unwrap();
    host.close().await;
}

#[tokio::test]
async fn a_lifeline_that_ends_takes_the_places_along() {
    let host = Host::new("sleep $MARK");
    let lives = host.another_driver(true);
    lives.start(&host.order(), host.progress()).await.unwrap();
    eventually("it runs", || host.running().len() == 1).await;

    drop(lives);

    eventually("the place is gone", || !host.place().exists()).await;
    assert_eq!(host.running(), Vec::<i32>::new());
    // The same for one that has ended, which a lifeline keeps for as long as it lives.
    host.set_script("exit 0");
    let lives = host.another_driver(true).with_linger(Duration::ZERO);
    lives.start(&host.order(), host.progress()).await.unwrap();
    lives.wait(&attempt()).await.unwrap();
    assert!(host.place().exists());
    drop(lives);
    eventually("the place is gone", || !host.place().exists()).await;
}

#[tokio::test]
async fn a_place_that_nobody_collects_removes_itself() {
    let host = Host::new("mkdir -p ~/a/b; chmod 0 ~/a/b ~/a; exit 0");
    let short = host.another_driver(false).with_linger(Duration::from_millis(200));

    short.start(&host.order(), host.progress()).await.unwrap();

    assert_eq!(short.wait(&attempt()).await.unwrap().code, Some(0));
    eventually("the place is gone", || !host.place().exists()).await;
    assert_eq!(short.list().await.unwrap(), []);
}

#[tokio::test]
async fn removing_what_runs_leaves_nothing_and_may_be_repeated() {
    let host = Host::new(
        "mkdir -p ~/closed/inner ${TMPDIR:-/tmp}/kept; : > ~/closed/inner/file; chmod 0 ~/closed/inner ~/closed
         echo ready; setsid sleep $MARK & sleep $MARK",
    );
    host.start().await;
    host.until_log_says("ready").await;
    eventually("it runs", || host.running().len() == 2).await;
    let sandbox = host.process("sandbox");

    host.driver.remove(&attempt()).await.unwrap();

    assert_eq!(host.running(), Vec::<i32>::new());
    assert!(!host.place().exists());
    // This process is its parent, and collects it.
    let entry = Path::new("/proc").join(sandbox.to_string());
    eventually("the sandbox is gone", || !entry.exists()).await;
    host.driver.remove(&attempt()).await.unwrap();
    host.driver.stop(&attempt(), LONG).await.unwrap();
    assert_eq!(host.driver.list().await.unwrap(), []);
}

#[tokio::test]
async fn what_a_killed_agent_left_half_made_is_listed_removed_and_made_anew() {
    let host = Host::new("exit 4");
    let place = host.place();
    fs::create_dir_all(place.join("home")).unwrap();
    fs::create_dir_all(place.join("bin")).unwrap();
    let labels = serde_json::to_string(&host.order().labels).unwrap();
    fs::write(place.join("labels.json"), &labels).unwrap();
    let places = host.driver.list().await.unwrap();
    assert_eq!((places.len(), places[0].running), (1, false));
    assert!(matches!(
        host.driver.wait(&attempt()).await,
        Err(DriverError::Lost {
            cause: Cause::AgentLost,
            ..
        })
    ));

    assert_eq!(host.run().await.code, Some(4));
    host.driver.remove(&attempt()).await.unwrap();

    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("labels.json"), "{").unwrap();
    fs::create_dir_all(host.places.join("not-an-attempt")).unwrap();
    assert_eq!(host.driver.list().await.unwrap(), []);
    assert!(matches!(
        host.driver.wait(&attempt()).await,
        Err(DriverError::Lost { .. })
    ));
    host.driver.remove(&attempt()).await.unwrap();
    assert!(!place.exists());
}

/// Names the place root for [`a_maker_that_is_killed_before_the_labels`]; without it that does nothing.
const MAKER: &str = "DRIVER_TEST_MAKER";

/// The kernel ends this process at the first byte that it writes into a file, which is of a place's labels.
#[tokio::test]
async fn a_maker_that_is_killed_before_the_labels() {
    let Some(folder) = std::env::var_os(MAKER) else {
        return;
    };
    let driver = driver_in(Path::new(&folder));
    let limited = Command::new("prlimit")
        .args(["--fsize=0", "--core=0", "--pid", &std::process::id().to_string()])
        .status();
    assert!(limited.unwrap().success());

    let started = driver.start(&order(), unbounded_channel().0).await;

    panic!("this process lives on: {started:?}");
}

#[tokio::test]
async fn a_place_whose_maker_was_killed_before_it_had_labels_goes_with_the_next_look() {
    let host = Host::new("exit 0");
    let maker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::a_maker_that_is_killed_before_the_labels"])
        .env(MAKER, host.places.parent().unwrap())
        .output()
        .unwrap();
    assert_eq!(maker.status.signal(), Some(nix::libc::SIGXFSZ), "{maker:?}");
    assert!(host.place().exists() && !host.place().join("labels.json").exists());

    let places = host.another_driver(false).list().await.unwrap();

    assert_eq!(places, []);
    assert!(!host.place().exists());
}

#[tokio::test]
async fn a_place_that_is_being_made_is_never_taken_for_one_without_a_maker() {
    let host = Host::new("exit 0");
    let looking = host.another_driver(false);
    let starting = async {
        for _ in 0..30 {
            host.start().await;
            host.driver.wait(&attempt()).await.unwrap();
            host.driver.remove(&attempt()).await.unwrap();
        }
    };
    let looks = async {
        loop {
            looking.list().await.unwrap();
        }
    };

    tokio::select! {
        () = starting => {}
        () = looks => {}
    }

    host.close().await;
}
