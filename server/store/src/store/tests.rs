//! What only the inside can provoke: a full disk, a failing neighbour.

use std::collections::BTreeMap;

use api::plan::PlannedJob;
use api::runner::Holder;
use api::runner::claim::{ClaimRequest, Platform};
use api::{AgentId, Reach};
use tempfile::TempDir;

use super::*;
use crate::input::NewPipeline;
use crate::sqlite::{audit, claim, pipelines};

async fn open(folder: &TempDir) -> Store {
    open_at(folder, clock::wall()).await
}

async fn open_at(folder: &TempDir, wall: u64) -> Store {
    let settings = Settings {
        terms: api::Terms {
            // Only leases are looked at here; this one counts the time that nobody was there.
            scheduling: api::Millis(u64::MAX),
            ..api::Terms::default()
        },
        default_resource_class: "default".to_owned(),
        default_time_limit: api::Millis::seconds(60),
        status_repositories: std::collections::BTreeSet::new(),
        durability: crate::Durability::Lasting,
    };
    Store::open_at(folder.path(), settings, wall).await.unwrap()
}

fn new_pipeline() -> NewPipeline {
    NewPipeline {
        repository: "r".to_owned(),
        commit: "c".to_owned(),
        reference: "refs/heads/main".to_owned(),
        jobs: Vec::new(),
        actor: "admin".to_owned(),
        origin: crate::Origin::Manual,
    }
}

fn plan(name: &str) -> api::Plan {
    let job = PlannedJob {
        name: name.to_owned(),
        image: None,
        services: Vec::new(),
        resource_class: None,
        environment: BTreeMap::new(),
        steps: Vec::new(),
        needs: Vec::new(),
        shell: None,
        working_directory: None,
        retry_infra: false,
        time_limit: None,
    };
    api::Plan { jobs: vec![job] }
}

fn claim_request(agent: &str) -> ClaimRequest {
    ClaimRequest {
        holder: Holder {
            agent: AgentId::new(agent).unwrap(),
            incarnation: 1,
        },
        nonce: 1,
        holds: Vec::new(),
        free_slots: 1,
        platform: Platform {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
        },
        driver: "local".to_owned(),
        reach: Reach("here".to_owned()),
        name: "machine".to_owned(),
        wait: api::Millis(0),
    }
}

type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

/// Hands an operation to the writer without waiting for its answer.
async fn queued<T, F>(store: &Store, act: F) -> Answer<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Change<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (pending, answer) = Pending::new(act);
    let sent = store
        .shared
        .writer
        .send(Message::Operation(Box::new(pending)))
        .await;
    assert!(sent.is_ok());
    answer
}

/// Holds the writer up until it is released, so that operations gather behind it.
async fn hold_up(store: &Store) -> (std::sync::mpsc::Sender<()>, Answer<()>) {
    let (release, released) = std::sync::mpsc::channel();
    let (entered, inside) = oneshot::channel();
    let answer = queued(store, move |change| {
        entered.send(()).unwrap();
        let _released = released.recv();
        audit::write(change, "server", "first", "", "")
    });
    let answer = answer.await;
    inside.await.unwrap();
    (release, answer)
}

async fn set_page_limit(store: &Store, pages: u32) {
    store
        .write(move |change| Ok(change.sql.pragma_update(None, "max_page_count", pages)?))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let pipeline = store.create_pipeline(new_pipeline()).await.unwrap();
    // SQLite takes the present size where less is asked for.
    set_page_limit(&store, 1).await;
    let before = store.audit(0, 1000).await.unwrap();

    let refused = store.record("server", "large", "", &"x".repeat(1 << 20)).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    let plan = plan(&"x".repeat(1 << 20));
    let refused = store.start_pipeline(&pipeline, plan.clone()).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");

    assert_eq!(store.audit(0, 1000).await.unwrap(), before);
    assert_eq!(store.uncompiled().await.unwrap().len(), 1);
    set_page_limit(&store, 1 << 20).await;
    store.start_pipeline(&pipeline, plan).await.unwrap();
    assert!(store.uncompiled().await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn what_a_failed_operation_did_in_memory_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let pipeline = store.create_pipeline(new_pipeline()).await.unwrap();
    store.start_pipeline(&pipeline, plan("a")).await.unwrap();

    let failed: Result<(), _> = store
        .write(|change| {
            let claim = claim::claim(
                change,
                "default",
                &claim_request("a"),
                claim::WhenNone::CloseNonce,
            )?;
            assert!(matches!(claim, Ok(Some(_))));
            Err(StoreError::Plan("on purpose".to_owned()))
        })
        .await;

    assert!(matches!(failed, Err(StoreError::Plan(_))));
    let claimed = store
        .claim("default", &claim_request("b"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claimed.map(|claim| claim.attempt.number), Some(1));
    store.close().await;
}

#[tokio::test]
async fn a_transaction_that_is_lost_takes_back_all_that_was_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let pipeline = store.create_pipeline(new_pipeline()).await.unwrap();
    store.start_pipeline(&pipeline, plan("a")).await.unwrap();
    let (release, held) = hold_up(&store).await;

    let claimed = queued(&store, |change| {
        claim::claim(
            change,
            "default",
            &claim_request("a"),
            claim::WhenNone::CloseNonce,
        )
    })
    .await;
    // What SQLite does by itself on some failures of the disk.
    let lost = queued(&store, |change| {
        change.sql.execute_batch("ROLLBACK")?;
        Err::<(), _>(StoreError::Closed)
    })
    .await;
    let after = queued(&store, |change| audit::write(change, "server", "after", "", "")).await;
    release.send(()).unwrap();
    held.await.unwrap().unwrap();

    assert!(claimed.await.unwrap().is_err());
    assert!(lost.await.unwrap().is_err());
    assert!(after.await.unwrap().is_ok());
    let claimed = store
        .claim("default", &claim_request("b"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claimed.map(|claim| claim.attempt.number), Some(1));
    store.close().await;
}

#[tokio::test]
async fn one_that_fails_does_not_fail_those_beside_it_and_all_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let before = *store.changes().borrow();
    let (release, first) = hold_up(&store).await;
    let mut others = Vec::new();
    for number in 0..20_u32 {
        let answer = queued(&store, move |change| {
            pipelines::create(change, &new_pipeline())?;
            if number % 2 == 0 {
                Ok(number)
            } else {
                Err(StoreError::Plan("on purpose".to_owned()))
            }
        });
        others.push(answer.await);
    }
    release.send(()).unwrap();
    first.await.unwrap().unwrap();

    for (number, answer) in (0_u32..).zip(others) {
        match answer.await.unwrap() {
            Ok(same) => assert_eq!((same, number % 2), (number, 0)),
            Err(error) => assert!(matches!(error, StoreError::Plan(_)) && number % 2 == 1, "{error}"),
        }
    }
    assert_eq!(store.uncompiled().await.unwrap().len(), 10);
    let commits = *store.changes().borrow() - before;
    assert_eq!(commits, 2, "commits for 21 operations");
    store.close().await;
}

#[tokio::test]
async fn a_fault_in_the_writer_closes_the_store_for_reads_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut changes = store.changes();

    let answer: Result<(), _> = store.write(|_| panic!("on purpose")).await;

    assert!(matches!(answer, Err(StoreError::Closed)));
    changes.mark_unchanged();
    assert!(changes.changed().await.is_err());
    assert!(matches!(store.tick().await, Err(StoreError::Closed)));
    // Its thread may still be on its way out.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while store.uncompiled().await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "reads go on");
    }
    open(&folder).await.close().await;
}

#[tokio::test]
async fn a_wall_clock_that_was_set_ends_no_lease_early() {
    const DAY: u64 = 24 * 3600 * 1000;
    let folder = tempfile::tempdir().unwrap();
    let mut wall = 1_800_000_000_000;
    let store = open_at(&folder, wall).await;
    let pipeline = store.create_pipeline(new_pipeline()).await.unwrap();
    store.start_pipeline(&pipeline, plan("a")).await.unwrap();
    let claim = store
        .claim("default", &claim_request("one"))
        .await
        .unwrap()
        .unwrap();
    assert!(claim.is_some());
    let mut last = store.now();
    store.close().await;

    for jump in [-1_i64, 2, 400, -400] {
        wall = wall.saturating_add_signed(jump * i64::try_from(DAY).unwrap());
        let store = open_at(&folder, wall).await;

        let next = store.tick().await.unwrap();

        let job = store.pipeline(&pipeline).await.unwrap().unwrap().jobs.remove(0);
        assert_eq!(job.attempts.len(), 1, "{jump} days: {job:?}");
        assert_eq!(job.attempts[0].outcome, None, "{jump} days: {job:?}");
        assert!(store.now() >= last, "{jump} days: time went back");
        let left = next.unwrap().since(store.now());
        assert!(
            left > api::Millis::seconds(50) && left <= api::Millis::seconds(60),
            "{jump} days: a full term, not {left:?}"
        );
        assert_eq!(store.away() >= api::Millis(300 * DAY), jump == 400, "{jump} days");
        last = store.now();
        store.close().await;
    }
}

#[tokio::test]
async fn a_clock_that_ran_ahead_makes_nothing_old() {
    const DAY: u64 = 86_400_000;
    let month = api::Millis(30 * DAY);
    let folder = tempfile::tempdir().unwrap();
    let start = clock::wall();
    let store = open_at(&folder, start).await;
    let pipeline = store.create_pipeline(new_pipeline()).await.unwrap();
    let cause = api::Cause::Clone {
        message: "no route".to_owned(),
        certain: true,
    };
    store.fail_pipeline(&pipeline, cause).await.unwrap();
    store.close().await;
    let removed = async |wall: u64| {
        let store = open_at(&folder, wall).await;
        let (what, reach) = (
            crate::Removed::Pipeline,
            crate::Reach::EndedBefore(store.older_than(month)),
        );
        let count = store.begin_removals(what, reach, 10, "old").await.unwrap();
        store.close().await;
        count
    };

    let ahead = removed(start + 365 * DAY).await;
    let right_again = removed(start + DAY).await;
    let mut days = 0;
    while removed(start + (366 + days) * DAY).await == 0 {
        days += 1;
    }

    assert_eq!((ahead, right_again), (0, 0));
    assert!(
        (28..31).contains(&days),
        "it was removed after {days} days that passed"
    );
}

#[tokio::test]
async fn an_older_files_space_can_be_given_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goatherd.sqlite");
    let old = Connection::open(&file).unwrap();
    old.execute_batch(crate::sqlite::schema::FIRST).unwrap();
    old.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(old);

    let store = open(&folder).await;
    store
        .record("server", "large", "", &"x".repeat(1 << 22))
        .await
        .unwrap();
    store.trim_audit(Time(u64::MAX)).await.unwrap();
    while store.shrink().await.unwrap() {}
    store.close().await;

    assert!(std::fs::metadata(&file).unwrap().len() < 1 << 20);
}
