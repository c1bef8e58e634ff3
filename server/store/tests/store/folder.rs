//! The data folder and its file.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use api::PipelineId;
use store::{Loss, Store, StoreError};

use super::bench::{Bench, new_pipeline, settings};

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_folder() {
    let bench = Bench::new().await;

    let refused = Store::open(bench.path(), settings()).await;

    let Err(StoreError::Held { folder, holder }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(folder, bench.path());
    assert_eq!(holder.pid, std::process::id());
    assert!(holder.since.ends_with("UTC"), "{holder}");
    assert!(
        holder
            .to_string()
            .contains(&format!("process {}", std::process::id()))
    );
}

#[tokio::test]
async fn a_closed_store_gives_the_folder_free_and_answers_no_more() {
    let bench = Bench::new().await;
    let other_handle = bench.store.clone();

    bench.store.close().await;

    let again = Store::open(bench.path(), settings()).await.unwrap();
    assert!(matches!(other_handle.uncompiled().await, Err(StoreError::Closed)));
    assert!(matches!(other_handle.tick().await, Err(StoreError::Closed)));
    again.close().await;
}

#[tokio::test]
async fn the_last_handle_that_is_dropped_gives_the_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path(), settings()).await.unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);

    let again = loop {
        match Store::open(folder.path(), settings()).await {
            Ok(store) => break store,
            Err(error) => assert!(
                matches!(error, StoreError::Held { .. }) && Instant::now() < deadline,
                "{error}"
            ),
        }
    };

    again.close().await;
}

#[tokio::test]
async fn only_its_owner_can_read_it() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data/of/goatherd");

    let store = Store::open(&folder, settings()).await.unwrap();
    store.record("server", "test", "", "").await.unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    store.close().await;
}

#[tokio::test]
async fn the_file_of_a_newer_program_is_refused_and_stays_as_it_is() {
    let bench = Bench::new().await;
    bench.store.close().await;
    let file = bench.path().join("goatherd.sqlite");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = fs::read(&file).unwrap();

    let refused = Store::open(bench.path(), settings()).await;

    let Err(error @ StoreError::Newer { found: 99, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("version 99"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn installation_and_key_stay_over_a_restart() {
    let bench = Bench::new().await;
    let installation = bench.store.installation().to_owned();
    let key = bench.store.server_key().clone();

    let bench = bench.restart().await;

    assert_eq!(bench.store.installation(), installation);
    assert!(bench.store.server_key() == &key);
}

/// The files of a store with something in it that nobody closed, after `damage` was done to the database.
async fn damaged(damage: impl FnOnce(&fs::File, u64)) -> StoreError {
    let bench = Bench::new().await;
    for _ in 0..200 {
        bench.store.create_pipeline(new_pipeline("r")).await.unwrap();
    }
    // What was written is in the database itself now, and not in its log.
    let bench = bench.restart().await;
    let copy = bench.copied();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(copy.path().join("goatherd.sqlite"))
        .unwrap();
    damage(&file, file.metadata().unwrap().len());

    let refused = Store::open(copy.path(), settings()).await;

    bench.store.close().await;
    refused.expect_err("it is damaged")
}

#[tokio::test]
async fn a_file_that_nobody_closed_and_that_is_damaged_is_refused_with_words() {
    let in_the_middle = damaged(|file, length| {
        file.write_all_at(&vec![0x5a; 16 * 4096], length / 2 / 4096 * 4096)
            .unwrap();
    });
    let at_the_start = damaged(|file, _| file.write_all_at(b"no database at all", 0).unwrap());

    for error in [in_the_middle.await, at_the_start.await] {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        let words = error.to_string();
        assert!(
            words.contains("goatherd.sqlite is damaged") && words.contains("backup"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn a_file_that_nobody_closed_and_that_is_whole_is_used() {
    let bench = Bench::new().await;
    let pipeline = bench.store.create_pipeline(new_pipeline("r")).await.unwrap();

    let after = bench.killed().await.restart().await;

    assert_eq!(after.view(&pipeline).await.summary.id, pipeline);
    after.store.close().await;
}

/// A store with pipelines that nobody closed: its files, and the pipelines in the order in which they came. The first
/// are in the database itself, the others in its log.
async fn left_open() -> (tempfile::TempDir, Vec<PipelineId>) {
    let bench = Bench::new().await;
    let mut pipelines = Vec::new();
    for _ in 0..20 {
        pipelines.push(bench.store.create_pipeline(new_pipeline("r")).await.unwrap());
    }
    let bench = bench.restart().await;
    for _ in 0..20 {
        pipelines.push(bench.store.create_pipeline(new_pipeline("r")).await.unwrap());
    }
    let copy = bench.copied();
    bench.store.close().await;
    (copy, pipelines)
}

/// Which of the pipelines are there, and what was said of the files.
async fn recovered(folder: &Path, pipelines: &[PipelineId]) -> (Vec<bool>, Option<String>) {
    let store = Store::open(folder, settings()).await.unwrap();
    let mut there = Vec::new();
    for pipeline in pipelines {
        there.push(store.pipeline(pipeline).await.unwrap().is_some());
    }
    let said = store.recovery().map(str::to_owned);
    // It can be worked with, and is whole the next time.
    store.create_pipeline(new_pipeline("r")).await.unwrap();
    store.close().await;
    let again = Store::open(folder, settings()).await.unwrap();
    assert_eq!(again.recovery(), None);
    again.close().await;
    (there, said)
}

#[tokio::test]
async fn a_log_that_is_whole_is_used_without_a_word() {
    let (folder, pipelines) = left_open().await;

    let (there, said) = recovered(folder.path(), &pipelines).await;

    assert!(there.iter().all(|there| *there), "{there:?}");
    assert_eq!(said, None);
}

#[tokio::test]
async fn a_log_that_was_cut_off_is_used_up_to_there_and_is_told_of() {
    let (folder, pipelines) = left_open().await;
    let log = folder.path().join("goatherd.sqlite-wal");
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 100).unwrap();

    let (there, said) = recovered(folder.path(), &pipelines).await;

    assert!(there[..39].iter().all(|there| *there), "{there:?}");
    assert!(!there[39], "its log was cut");
    let said = said.expect("it is told");
    assert!(
        said.contains("bytes of its log, goatherd.sqlite-wal, are not whole"),
        "{said}"
    );
}

#[tokio::test]
async fn a_log_with_a_damaged_page_is_used_up_to_there_and_is_told_of() {
    let (folder, pipelines) = left_open().await;
    let log = folder.path().join("goatherd.sqlite-wal");
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    file.write_all_at(&[0x5a; 16], middle).unwrap();

    let (there, said) = recovered(folder.path(), &pipelines).await;

    let kept = there.iter().take_while(|there| **there).count();
    assert!((20..40).contains(&kept), "{there:?}");
    assert!(there[kept..].iter().all(|there| !*there), "{there:?}");
    assert!(said.expect("it is told").contains("are left out"));
}

#[tokio::test]
async fn a_log_that_is_gone_is_told_of_and_what_the_database_has_is_there() {
    let (folder, pipelines) = left_open().await;
    fs::remove_file(folder.path().join("goatherd.sqlite-wal")).unwrap();

    let (there, said) = recovered(folder.path(), &pipelines).await;

    assert!(there[..20].iter().all(|there| *there), "{there:?}");
    let said = said.expect("it is told");
    assert!(said.contains("goatherd.sqlite-wal, is not there"), "{said}");
}

#[tokio::test]
async fn a_damaged_file_is_left_as_it_is_and_is_whole_with_a_whole_page_in_place() {
    let (folder, pipelines) = left_open().await;
    let [database, log] = ["goatherd.sqlite", "goatherd.sqlite-wal"].map(|name| folder.path().join(name));
    let whole = fs::read(&database).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0x5a);
    fs::write(&database, &damaged).unwrap();
    let log_before = fs::read(&log).unwrap();

    let refused = Store::open(folder.path(), settings()).await;

    let error = refused.expect_err("it is damaged").to_string();
    assert!(
        error.contains("is damaged (") && error.contains("page"),
        "{error}"
    );
    assert!(
        fs::read(&database).unwrap() == damaged,
        "the database was changed"
    );
    assert!(fs::read(&log).unwrap() == log_before, "its log was changed");
    fs::write(&database, &whole).unwrap();
    let (there, said) = recovered(folder.path(), &pipelines).await;
    assert!(there.iter().all(|there| *there), "{there:?}");
    assert_eq!(said, None);
}

/// What is left of a used folder after something was done to its closed database, and what opening it says.
async fn lost(left: &str, done: impl FnOnce(&Path)) -> (Bench, StoreError) {
    let bench = Bench::new().await;
    bench.store.create_pipeline(new_pipeline("r")).await.unwrap();
    bench.store.close().await;
    fs::create_dir_all(bench.path().join(left)).unwrap();
    done(&bench.path().join("goatherd.sqlite"));
    let refused = Store::open(bench.path(), settings()).await;
    (bench, refused.expect_err("it was used"))
}

#[tokio::test]
async fn a_used_folder_without_its_database_is_refused_each_time() {
    let (bench, first) = lost("artifacts/build-1/1", |file| fs::remove_file(file).unwrap()).await;

    let second = Store::open(bench.path(), settings()).await.unwrap_err();

    for error in [first, second] {
        let StoreError::Lost { file, how, left } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*file, bench.path().join("goatherd.sqlite"));
        assert_eq!(*how, Loss::Missing);
        assert_eq!(*left, [bench.path().join("artifacts")]);
        let words = error.to_string();
        assert!(
            words.contains("is missing, but") && words.contains("backup") && words.contains("artifacts away"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn an_empty_database_in_a_used_folder_is_refused_and_its_log_stays() {
    let (bench, error) = lost("git/acme/app.git", |file| {
        fs::write(file, "").unwrap();
        fs::write(file.with_extension("sqlite-wal"), "what was written last").unwrap();
    })
    .await;

    assert!(
        matches!(&error, StoreError::Lost { how: Loss::Empty, left, .. } if *left == [bench.path().join("git")]),
        "{error:?}"
    );
    let log = fs::read(bench.path().join("goatherd.sqlite-wal")).unwrap();
    assert_eq!(log, b"what was written last");
}

#[tokio::test]
async fn a_database_without_tables_in_a_used_folder_is_refused_and_stays_as_it_is() {
    let mut before = Vec::new();
    let (bench, error) = lost("artifacts/build-1/1", |file| {
        fs::remove_file(file).unwrap();
        blank(file);
        before = fs::read(file).unwrap();
    })
    .await;

    assert!(
        matches!(&error, StoreError::Lost { how: Loss::Blank, .. }),
        "{error:?}"
    );
    assert!(fs::read(bench.path().join("goatherd.sqlite")).unwrap() == before);
}

/// Makes a database as a first start leaves it that is killed before it has made tables.
fn blank(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; VACUUM")
        .unwrap();
}

#[tokio::test]
async fn a_first_start_that_was_killed_starts_again() {
    let empty = |file: &Path| fs::write(file, "").unwrap();
    for killed in [empty, blank, |_: &Path| {}] {
        let folder = tempfile::tempdir().unwrap();
        // What a start makes or finds that has no database's word for anything.
        for made in ["artifacts/incoming", "artifacts/lost+found", "git/lost+found"] {
            fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        fs::write(folder.path().join("git/gitconfig"), "").unwrap();
        killed(&folder.path().join("goatherd.sqlite"));

        let store = Store::open(folder.path(), settings()).await.unwrap();

        store.close().await;
    }
}

#[tokio::test]
async fn a_folder_whose_leftovers_are_moved_away_begins_anew() {
    let (bench, _) = lost("artifacts/build-1/1", |file| fs::remove_file(file).unwrap()).await;
    fs::rename(bench.path().join("artifacts"), bench.path().join("old")).unwrap();

    let store = Store::open(bench.path(), settings()).await.unwrap();

    store.close().await;
}
