//! A thousand orphans: how long they stay, and what they cost; and memory without them.

use std::time::Duration;

use super::Field;
use super::lifecycle::PEER;
use super::run::Run;
use crate::memory::{self, Memory};
use crate::table::{Better, Other, Table, median};

const COUNT: u32 = 1000;
/// How long nothing happens before idle memory is read.
const REST: Duration = Duration::from_millis(300);
/// Memory hardly varies.
const ROUNDS: usize = 5;

pub(super) fn measure(table: &mut Table, field: &Field) -> anyhow::Result<()> {
    let count = field.contestants.len();
    let mut idle: Vec<Vec<Memory>> = vec![Vec::new(); count];
    let mut busy = idle.clone();
    let (mut times, mut left) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for _ in 0..ROUNDS.min(field.rounds) {
        for (index, one) in field.contestants.iter().enumerate() {
            let run = Run::start(field, one, &["idle", "0"])?;
            let notes = run.wait_for("began")?;
            std::thread::sleep(REST);
            idle[index].push(memory::memory(notes.pid()?)?);
            drop(run);

            let run = Run::start(field, one, &["orphans", &COUNT.to_string()])?;
            let notes = run.wait_for("adopted")?;
            busy[index].push(memory::memory(notes.pid()?)?);
            run.go()?;
            let notes = run.wait_for("left")?;
            let remain = notes.get("left")?;
            left[index].push(remain);
            // Those that collect none have no time.
            if remain == 0.0 {
                times[index].push(notes.get("orphans")? / 1e6);
            }
        }
    }
    for (when, figures) in [("idle", &idle), ("1,000 orphans", &busy)] {
        memories(table, field, when, figures)?;
    }
    let (ours, mut others) = field.medians(left)?;
    others.push(Other {
        name: PEER,
        figure: 1000.0,
    });
    table.aimed(
        "goat: of 1,000 ended orphans are left",
        ours,
        "",
        Better::Less,
        &others,
        0.0,
    );
    let (ours, others) = field.medians(times)?;
    let tini = others
        .iter()
        .find(|other| other.name == "tini")
        .map(|tini| tini.figure);
    table.aimed(
        "goat: 1,000 orphans end and are collected",
        ours,
        "ms",
        Better::Less,
        &others,
        2.0 * tini.unwrap_or_default(),
    );
    let rate = |time: f64| f64::from(COUNT) / time * 1000.0;
    let rates: Vec<Other> = others
        .iter()
        .map(|other| Other {
            name: other.name,
            figure: rate(other.figure),
        })
        .collect();
    table.row(
        "goat: orphans collected a second",
        rate(ours),
        "/s",
        Better::More,
        &rates,
    );
    Ok(())
}

fn memories(table: &mut Table, field: &Field, when: &str, figures: &[Vec<Memory>]) -> anyhow::Result<()> {
    for (kind, known) in [
        ("resident", Some((3000.0, 25_858.0))),
        ("dirty", Some((500.0, 7416.0))),
        ("proportional", None),
    ] {
        let figure = |memory: &Memory| match kind {
            "resident" => memory.resident,
            "dirty" => memory.dirty,
            _ => memory.proportional,
        };
        let each = figures
            .iter()
            .map(|runs| {
                vec![median(
                    runs.iter().map(|memory| figure(memory) * 1024.0).collect(),
                )]
            })
            .collect();
        let (ours, mut others) = field.medians(each)?;
        let name = format!("goat: memory, {when} ({kind})");
        match known {
            Some((aim, peer)) => {
                if when == "idle" {
                    others.push(Other {
                        name: PEER,
                        figure: peer,
                    });
                }
                table.aimed(&name, ours, "KiB", Better::Less, &others, aim);
            }
            None => table.row(&name, ours, "KiB", Better::Less, &others),
        }
    }
    Ok(())
}
