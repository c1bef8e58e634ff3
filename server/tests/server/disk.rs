//! A disk that gets full, and then is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::PipelineOutcome;
use api::people::PipelineView;
use api::runner::ErrorCode;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ONE_JOB, Reply, Repo, Server, TaskAgent, push_payload, sha256, within};
use crate::said::Said;

const MEBIBYTE: u64 = 1024 * 1024;

/// A small disk that only this thread, and those that it starts, can see.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    /// The folder can only be removed when nothing is mounted on it.
    fn drop(&mut self) {
        umount2(self.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

/// Makes one. None where this user may not.
fn small_disk() -> Option<SmallDisk> {
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI this test runs as root, which alone may mount a disk"
        );
        #[expect(clippy::print_stdout, reason = "who reads the test's output must see it")]
        {
            println!("skipped: only root may mount a disk of its own");
        }
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(
        Some("tmpfs"),
        folder.path(),
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=80m"),
    )
    .unwrap();
    Some(SmallDisk(folder))
}

/// A file that takes space.
struct Ballast(PathBuf);

impl Ballast {
    fn new(folder: &Path, bytes: u64) -> Self {
        let path = folder.join("ballast");
        let mut file = File::create(&path).unwrap();
        let block = vec![0; 1024 * 1024];
        for _ in 0..bytes / MEBIBYTE {
            file.write_all(&block).unwrap();
        }
        Self(path)
    }

    /// All that there is.
    fn rest(folder: &Path) -> Self {
        let path = folder.join("ballast-rest");
        let mut file = File::create(&path).unwrap();
        for size in [1024 * 1024, 4096] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Self(path)
    }

    fn remove(self) {
        fs::remove_file(self.0).unwrap();
    }
}

async fn deliver(server: &Server, body: &[u8]) -> Reply {
    server.deliver("push", "another", body).await
}

async fn ready(server: &Server) -> Value {
    server.call(server.request(Method::GET, "/ready")).await.ok()
}

/// Waits until the server has seen how the disk is.
async fn until_ready_says(server: &Server, status: &str) -> Value {
    within(async {
        loop {
            let ready = ready(server).await;
            if ready["status"] == status {
                return ready;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Waits until the log says something. Whoever asks whether the server is ready lets it look at the disk.
async fn until_said(server: &Server, said: &Said, words: &str) {
    within(async {
        while said.count(words) == 0 {
            ready(server).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_gets_full_lets_what_runs_finish_and_takes_nothing_new() {
    let Some(disk) = small_disk() else { return };
    let (said, _listening) = Said::listen();
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let server = Server::start_with(&[&repo], |config| {
        config.data = disk.path().join("data");
        config.least_free = Some(40 * MEBIBYTE);
    })
    .await;
    let mut agent = server.agent("agent-1").await;
    let first = server.push(&repo, &commit).await;
    let claim = agent.claim(&server).await;
    let task = TaskAgent::of(&server, &claim);
    task.task().await.ok::<Value>();
    assert_eq!(ready(&server).await, json!({"status": "OK"}));
    let another = push_payload(&repo.name, &repo.commit("file", "another"));

    // Less than the reserve: nothing new, but what runs goes on.
    let ballast = Ballast::new(disk.path(), 44 * MEBIBYTE);
    let degraded = until_ready_says(&server, "DEGRADED").await;
    assert!(
        degraded["reason"].as_str().unwrap().contains("MiB free"),
        "{degraded}"
    );
    deliver(&server, &another)
        .await
        .refused(507, ErrorCode::InsufficientStorage);
    let rerun = format!("/api/v1/pipelines/{}/rerun", first.summary.id);
    let rerun = server.post(&server.admin, &rerun, &json!({})).await;
    rerun.refused(507, ErrorCode::InsufficientStorage);
    task.began(1).await.ok::<Value>();
    task.output(1, 1, "in the reserve").await.ok::<Value>();
    task.upload("app", b"app", &sha256(b"app")).await.ok::<Value>();

    // Full: nothing can be taken, and nothing is lost, because nothing was acknowledged.
    let rest = Ballast::rest(disk.path());
    let long = "x".repeat(4 * 1024 * 1024);
    let full = task.output(1, 2, &long).await;
    full.refused(507, ErrorCode::InsufficientStorage);
    let content = vec![7; 2 * 1024 * 1024];
    for _ in 0..3 {
        let full = task.upload("large", &content, &sha256(&content)).await;
        full.refused(507, ErrorCode::InsufficientStorage);
        let full = task.output(1, 2, &long).await;
        full.refused(507, ErrorCode::InsufficientStorage);
    }
    assert_eq!(said.count("the disk of the data folder is full"), 1);
    assert_eq!(said.count("the disk is full no more"), 0);
    rest.remove();

    // What was kept back comes, and the job ends as it should.
    task.output(1, 2, &long).await.ok::<Value>();
    task.upload("large", &content, &sha256(&content))
        .await
        .ok::<Value>();
    until_said(&server, &said, "the disk is full no more").await;
    task.ended(1, 0).await.ok::<Value>();
    task.finish("succeeded", 2).await.ok::<Value>();
    let view: PipelineView = server.pipeline(first.summary.id.as_str()).await;
    assert_eq!(view.summary.outcome, Some(PipelineOutcome::Succeeded));

    // With room again all is as before, and the delivery that was refused can be sent again.
    ballast.remove();
    until_ready_says(&server, "OK").await;
    let again = deliver(&server, &another).await;
    assert_eq!(again.status, 202, "{}", again.text());
    for words in [
        "less than 40 MiB",
        "there is room on the disk again",
        "the disk of the data folder is full",
        "the disk is full no more",
    ] {
        assert_eq!(said.count(words), 1, "{words}");
    }
    server.stop().await;
}
