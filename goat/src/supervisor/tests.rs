//! What takes too long for a real process: its clock is turned on.

use std::sync::Arc;
use std::time::Duration;

use api::goat::GoatConfig;
use sys::process::SignalQueue;
use tokio::time::Instant;

use super::Supervisor;
use crate::config::{RunTask, SIGNALS, Settings};
use crate::failure::Failure;
use crate::figures::Figures;

fn waiting_for(readiness_file_path: String) -> Supervisor {
    let config = RunTask {
        settings: Settings {
            shutdown_delay: Duration::ZERO,
            grace_period: Duration::ZERO,
            health_check_addr: String::new(),
        },
        task: GoatConfig {
            readiness_file_path,
            ..GoatConfig::default()
        },
        environment: Vec::new(),
        signals: SignalQueue::open(&SIGNALS).expect("signals can be queued"),
        oom_score: None,
    };
    Supervisor::new(config, Arc::new(Figures::default())).expect("there is a runtime")
}

#[tokio::test(start_paused = true)]
async fn a_readiness_file_that_does_not_come_in_ten_minutes_is_a_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut supervisor = waiting_for(folder.path().join("ready").display().to_string());
    let start = Instant::now();

    let outcome = supervisor.wait_for_readiness_file().await;

    assert_eq!(outcome, Err(Failure::NotReady));
    assert_eq!(start.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_readiness_file_in_a_folder_that_cannot_be_watched_is_looked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let later = folder.path().join("later");
    let file = later.join("ready");
    let mut supervisor = waiting_for(file.display().to_string());

    let (outcome, ()) = tokio::join!(supervisor.wait_for_readiness_file(), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        std::fs::create_dir(&later).expect("it is made");
        std::fs::write(&file, "").expect("it is written");
    });

    assert_eq!(outcome, Ok(()));
}
