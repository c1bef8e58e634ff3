use super::*;
use proptest::prelude::*;

fn piece(step: u32, bytes: &[u8]) -> Piece {
    Piece {
        step,
        stream: Stream::Stdout,
        time: 7,
        bytes: bytes.to_vec(),
    }
}

fn spool(folder: &tempfile::TempDir, memory: usize, disk: u64) -> Spool {
    let limits = Limits {
        memory,
        disk,
        patience: Duration::ZERO,
    };
    let spool = Spool::new(folder.path().to_owned(), 0, limits);
    spool.allow_all();
    spool
}

#[test]
fn a_steps_output_waits_until_the_step_may_be_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::new(folder.path().to_owned(), 0, Limits::default());
    now(spool.append(piece(0, b"one")));
    now(spool.append(piece(1, b"two")));

    assert_eq!(bytes_of(&spool.batch(1000)), b"");
    spool.allow(0);
    assert_eq!(bytes_of(&spool.batch(1000)), b"one");
    spool.allow(1);
    assert_eq!(bytes_of(&spool.batch(1000)), b"onetwo");
}

/// Takes everything out in batches, as the server would.
fn take_all(spool: &Spool, most: usize) -> Vec<Chunk> {
    let mut all = Vec::new();
    loop {
        let batch = spool.batch(most);
        let Some(last) = batch.last() else { return all };
        let last = last.sequence;
        all.extend(batch);
        spool.stored(last);
    }
}

fn bytes_of(chunks: &[Chunk]) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in chunks {
        if let Content::Bytes(Bytes(bytes)) = &chunk.content {
            all.extend_from_slice(bytes);
        }
    }
    all
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}

#[test]
fn numbers_go_on_from_what_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::new(folder.path().to_owned(), 41, Limits::default());
    spool.allow_all();

    now(spool.append(piece(0, b"x")));

    assert_eq!(spool.batch(1000)[0].sequence, 42);
    assert_eq!(spool.close(), 42);
}

#[test]
fn a_chunk_stays_until_it_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = spool(&folder, 10_000, 0);
    now(spool.append(piece(0, b"one")));
    now(spool.append(piece(0, b"two")));

    assert_eq!(spool.batch(1).len(), 1);
    assert_eq!(spool.batch(1000).len(), 2);
    spool.stored(1);
    assert_eq!(bytes_of(&spool.batch(1000)), b"two");
    spool.stored(1);
    assert_eq!(bytes_of(&spool.batch(1000)), b"two");
}

#[test]
fn what_does_not_fit_is_counted_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = spool(&folder, 100, 0);

    now(spool.append(piece(0, &[b'a'; 36])));
    now(spool.append(piece(0, &[b'b'; 50])));
    now(spool.append(piece(1, &[b'c'; 50])));
    now(spool.append(piece(0, &[b'd'; 20])));
    spool.stored(1);
    now(spool.append(piece(1, b"e")));

    let kept = take_all(&spool, 1000);
    let contents: Vec<_> = kept
        .iter()
        .map(|chunk| (chunk.sequence, chunk.step, chunk.content.clone()))
        .collect();
    assert_eq!(
        contents,
        [
            (2, 0, Content::Lost(70)),
            (3, 1, Content::Lost(50)),
            (4, 1, Content::Bytes(Bytes(b"e".to_vec()))),
        ]
    );
}

#[test]
fn losses_at_the_end_are_told_when_it_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = spool(&folder, 0, 0);

    now(spool.append(piece(3, b"gone")));

    assert_eq!(spool.close(), 1);
    assert_eq!(spool.batch(10)[0].content, Content::Lost(4));
}

#[test]
fn a_writer_waits_for_room_before_anything_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::new(
        folder.path().to_owned(),
        0,
        Limits {
            memory: 100,
            disk: 0,
            patience: Duration::from_secs(60),
        },
    );
    spool.allow_all();

    now(async {
        spool.append(piece(0, b"first, and rather long")).await;
        tokio::join!(spool.append(piece(0, b"second, also long")), async {
            tokio::task::yield_now().await;
            spool.stored(1);
        });
    });

    assert_eq!(bytes_of(&take_all(&spool, 1000)), b"second, also long");
}

#[test]
fn a_writer_that_waits_already_is_given_more_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits {
        memory: 100,
        disk: 0,
        patience: Duration::from_millis(50),
    };
    let spool = Spool::new(folder.path().to_owned(), 0, limits);
    spool.allow_all();

    now(async {
        spool.append(piece(0, b"first, and rather long")).await;
        tokio::join!(spool.append(piece(0, b"second, also long")), async {
            tokio::task::yield_now().await;
            spool.set_patience(Duration::from_secs(60));
            // Longer than it would have waited.
            tokio::time::sleep(Duration::from_millis(200)).await;
            spool.stored(1);
        });
    });

    assert_eq!(bytes_of(&take_all(&spool, 1000)), b"second, also long");
}

#[test]
fn a_folder_that_is_gone_loses_output_but_no_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = spool(&folder, 100, 1 << 20);
    folder.close().expect("removed");

    now(spool.append(piece(0, &[b'a'; 30])));
    now(spool.append(piece(0, &[b'b'; 30])));

    let chunks = take_all(&spool, 1000);
    assert_eq!(
        chunks.iter().map(|chunk| chunk.sequence).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(chunks[1].content, Content::Lost(30));
}

#[test]
fn a_gap_that_the_server_has_after_all_is_filled() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = spool(&folder, 10_000, 0);
    for text in ["a", "b", "c"] {
        now(spool.append(piece(0, text.as_bytes())));
    }
    spool.stored(2);

    spool.fill_gap(1);

    let numbers: Vec<u64> = take_all(&spool, 1000)
        .iter()
        .map(|chunk| chunk.sequence)
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_comes_out_once_in_order_and_unchanged(
        pieces in prop::collection::vec((0..4_u32, prop::collection::vec(any::<u8>(), 1..300)), 0..60),
        memory in 0..2000_usize,
        most in 1..2000_usize,
        pauses in prop::collection::vec(any::<bool>(), 60),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = spool(&folder, memory, 10 << 20);
        let mut out = Vec::new();

        for ((step, bytes), pause) in pieces.iter().zip(&pauses) {
            now(spool.append(piece(*step, bytes)));
            if *pause {
                let batch = spool.batch(most);
                if let Some(last) = batch.last() {
                    let last = last.sequence;
                    out.extend(batch);
                    spool.stored(last);
                }
            }
        }
        out.extend(take_all(&spool, most));

        let numbers: Vec<u64> = out.iter().map(|chunk| chunk.sequence).collect();
        let expected: Vec<u64> = (1..=wide(pieces.len())).collect();
        prop_assert_eq!(numbers, expected);
        for (chunk, (step, bytes)) in out.iter().zip(&pieces) {
            prop_assert_eq!(chunk.step, *step);
            prop_assert_eq!(&chunk.content, &Content::Bytes(Bytes(bytes.clone())));
        }
    }
}
