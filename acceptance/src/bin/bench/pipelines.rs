//! Pipelines a minute, from push to end: `true`, with one slot and with four.

use std::collections::VecDeque;
use std::time::Instant;

use api::PipelineOutcome;
use internal_testing::installation::REPOSITORY;
use internal_testing::provider;

use crate::Size;
use crate::table::{Better, Other, Table};

/// Woodpecker, local: the best that was seen.
const PEERS: [(&str, f64); 2] = [("1", 590.0), ("4", 850.0)];

pub(crate) async fn measure(table: &mut Table, size: Size) {
    for (slots, peer) in PEERS {
        let installation = crate::installation();
        let _agent = installation.agent_with("one", &["--slots", slots]);
        let commits: Vec<String> = (0..=size.pipelines)
            .map(|number| {
                let config = format!("# {number}\njobs: {{work: {{steps: [run: 'true']}}}}\n");
                installation.repository.commit(".ci.yml", &config)
            })
            .collect();
        let mut pushed = VecDeque::new();
        let mut start = Instant::now();
        for (number, commit) in commits.iter().enumerate() {
            let body = provider::push(REPOSITORY, commit);
            let (status, answer) = installation.deliver(&body, None).await;
            assert_eq!(status, 202, "{answer}");
            let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer in JSON");
            let id = answer["pipeline"].as_str().expect("a pipeline's id").to_owned();
            let id = api::PipelineId::new(&id).expect("a pipeline's id");
            if number == 0 {
                // The first one makes the mirror, and is not counted.
                installation.ended(&id).await;
                start = Instant::now();
            } else {
                pushed.push_back(id);
            }
        }
        let count = pushed.len();
        for id in pushed {
            let view = installation.ended(&id).await;
            assert_eq!(
                view.summary.outcome,
                Some(PipelineOutcome::Succeeded),
                "{view:#?}"
            );
        }
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        let count = f64::from(u32::try_from(count).expect("few pipelines"));
        table.row(
            &format!("pipelines of `true` a minute, slots: {slots}"),
            count / minutes,
            "/min",
            Better::More,
            &[Other {
                name: "Woodpecker local",
                figure: peer,
            }],
        );
    }
}
