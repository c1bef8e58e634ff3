//! Webhooks accepted a second, one at a time and sixteen at once. Afterwards the server is killed: each that was
//! accepted must be there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use internal_testing::Installation;
use internal_testing::installation::REPOSITORY;
use internal_testing::provider::{self, Provider, delivery_id};
use tokio::task::JoinSet;

use crate::Size;
use crate::table::{Better, Other, Table};

pub(crate) async fn measure(table: &mut Table, size: Size) -> anyhow::Result<()> {
    for (at_once, peer, aim) in [
        (1, 44.0, None),
        (
            16,
            18.0,
            Some(Other {
                name: "aim",
                figure: 1000.0,
            }),
        ),
    ] {
        let mut installation = crate::installation();
        let commit = installation
            .repository
            .commit(".ci.yml", "jobs: {work: {steps: [run: 'true']}}\n");
        let start = Instant::now();
        let accepted = deliver(&installation, &commit, at_once, size.webhooks).await?;
        let time = start.elapsed().as_secs_f64();
        installation.kill_server();
        installation.start_server();
        let there = accepted_by(&installation).await?;
        let lost = accepted.difference(&there).count();
        anyhow::ensure!(lost == 0, "{lost} accepted webhooks are lost");
        let count = f64::from(u32::try_from(accepted.len())?);
        let mut others = vec![Other {
            name: "Woodpecker",
            figure: peer,
        }];
        others.extend(aim);
        table.row(
            &format!("webhooks a second, {at_once} at once, none lost"),
            count / time,
            "/s",
            Better::More,
            &others,
        );
    }
    Ok(())
}

/// Delivers pushes that all differ, and gives the pipelines that were accepted.
async fn deliver(
    installation: &Installation,
    commit: &str,
    at_once: usize,
    count: usize,
) -> anyhow::Result<BTreeSet<String>> {
    let provider = installation.provider();
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..at_once {
        let (provider, commit, next) = (provider.clone(), commit.to_owned(), Arc::clone(&next));
        senders.spawn(async move {
            let mut accepted = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(accepted);
                }
                accepted.push(one(&provider, &commit, number).await?);
            }
        });
    }
    let mut accepted = BTreeSet::new();
    while let Some(sent) = senders.join_next().await {
        accepted.extend(sent??);
    }
    anyhow::ensure!(
        accepted.len() == count,
        "{} of {count} were accepted",
        accepted.len()
    );
    Ok(accepted)
}

async fn one(provider: &Provider, commit: &str, number: usize) -> anyhow::Result<String> {
    let mut body: serde_json::Value = serde_json::from_slice(&provider::push(REPOSITORY, commit))?;
    // The same body again would be a repetition.
    body["head_commit"]["message"] = format!("Change {number}").into();
    let (status, answer) = provider
        .deliver(&delivery_id(), body.to_string().as_bytes(), None)
        .await?;
    anyhow::ensure!(status == 202, "webhook {number} was answered {status}: {answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    Ok(answer["pipeline"].as_str().context("no pipeline")?.to_owned())
}

/// The pipelines that the server says it accepted.
async fn accepted_by(installation: &Installation) -> anyhow::Result<BTreeSet<String>> {
    let client = installation.client();
    let (mut found, mut after) = (BTreeSet::new(), 0);
    loop {
        let page = client.audit(after).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = last.number;
        found.extend(
            page.into_iter()
                .filter(|entry| entry.action == "webhook.accepted")
                .map(|entry| entry.subject),
        );
    }
}
