//! A long log: from the step to the server's disk, and back.

use std::time::Instant;

use api::Outcome;
use internal_testing::installation::only_job;
use internal_testing::wait;

use crate::Size;
use crate::table::{Better, Other, Table};

/// Bytes of one line of the log, with its end.
const LINE: usize = 100;

pub(crate) async fn measure(table: &mut Table, size: Size) {
    let installation = crate::installation();
    let _agent = installation.agent("one");
    let config = format!(
        "jobs:\n  work:\n    steps:\n      - run: yes {} | head -c {} || true\n",
        "x".repeat(LINE - 1),
        size.log
    );
    let pipeline = installation.push(&config).await;
    // The step's first output has come once the step is known.
    installation
        .wait_for("the step to begin", &pipeline, |view| {
            let attempt = view.jobs.first()?.attempts.first()?;
            (!attempt.steps.is_empty()).then_some(())
        })
        .await;
    let start = Instant::now();
    let client = installation.client();
    let (client, pipeline) = (&client, &pipeline);
    let view = wait::until_async(
        "the log to be stored",
        std::time::Duration::from_secs(600),
        || async move {
            let view = client.pipeline(pipeline).await.ok()?;
            view.summary.outcome.map(|_| view)
        },
    )
    .await;
    let stored = start.elapsed().as_secs_f64();
    let job = only_job(&view);
    assert_eq!(job.outcome, Some(Outcome::Succeeded), "{job:#?}");
    let lost: u64 = job.attempts.iter().map(|attempt| attempt.lost_bytes).sum();

    let start = Instant::now();
    let (mut first, mut read) = (None, 0);
    installation
        .read_log(&job.task, |piece| {
            first.get_or_insert_with(|| start.elapsed().as_secs_f64());
            read += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        })
        .await;
    let back = start.elapsed().as_secs_f64();
    assert!(read + lost >= size.log, "{read} bytes came back, {lost} are lost");

    table.row(
        "log: step to the server's disk",
        megabytes(size.log - lost) / stored,
        "MB/s",
        Better::More,
        &[
            Other {
                name: "Woodpecker",
                figure: 0.9,
            },
            Other {
                name: "aim",
                figure: 20.0,
            },
        ],
    );
    table.row(
        "log: the first byte comes back",
        first.unwrap_or(back) * 1000.0,
        "ms",
        Better::Less,
        &[
            Other {
                name: "Woodpecker",
                figure: 19_500.0,
            },
            Other {
                name: "aim",
                figure: 200.0,
            },
        ],
    );
    table.row(
        "log: read back",
        megabytes(read) / back,
        "MB/s",
        Better::More,
        &[],
    );
    table.row("log: not kept", megabytes(lost), "MB", Better::Less, &[]);
}

fn megabytes(bytes: u64) -> f64 {
    // Bytes of a log are far fewer than a float holds exactly.
    u32::try_from(bytes / 1000).map_or(f64::INFINITY, |kilobytes| f64::from(kilobytes) / 1000.0)
}
