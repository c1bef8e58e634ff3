//! The health port while a task floods it: how much it answers, and how long a probe waits.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use internal_testing::wait;

use super::Field;
use super::contestant::{Contestant, Kind};
use super::run::Run;
use crate::table::{Better, Other, Table, median};

/// Clients that ask as fast as they can, a connection a request.
const CLIENTS: usize = 16;
/// How long they do.
const FLOOD: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /live HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n";

pub(super) fn measure(table: &mut Table, field: &Field) -> anyhow::Result<()> {
    let orchestrators: Vec<&Contestant> = field
        .contestants
        .iter()
        .filter(|one| one.kind == Kind::Orchestrator)
        .collect();
    let mut figures = Vec::new();
    for one in &orchestrators {
        figures.push(flooded(field, one)?);
    }
    let others = |figure: fn(&Flooded) -> f64| -> Vec<Other> {
        let named = orchestrators.iter().zip(&figures).skip(1);
        named
            .map(|(one, flooded)| Other {
                name: one.name,
                figure: figure(flooded),
            })
            .collect()
    };
    let ours = figures.first().context("GOAT is there")?;
    table.row(
        "goat: requests a second, 16 clients",
        ours.rate,
        "/s",
        Better::More,
        &others(|one| one.rate),
    );
    table.row(
        "goat: a probe's answer meanwhile",
        ours.probe,
        "ms",
        Better::Less,
        &others(|one| one.probe),
    );
    Ok(())
}

struct Flooded {
    /// Requests answered a second.
    rate: f64,
    /// The median of a probe's answers, in milliseconds.
    probe: f64,
}

fn flooded(field: &Field, one: &Contestant) -> anyhow::Result<Flooded> {
    let run = Run::start(field, one, &["idle", "0"])?;
    run.wait_for("began")?;
    let address = wait::until("the health port", PATIENCE, || {
        let log = run.log();
        let (_, rest) = log.split_once("app.address=")?;
        let address: SocketAddr = rest.split_whitespace().next()?.parse().ok()?;
        Some(address)
    });
    let (over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let start = Instant::now();
    let probes = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if ask(address).is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut probes = Vec::new();
        while start.elapsed() < FLOOD {
            let asked = Instant::now();
            let answer = ask(address);
            probes.push(answer.map(|()| asked.elapsed().as_secs_f64() * 1000.0));
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
        probes
    });
    let time = start.elapsed().as_secs_f64();
    let probes = probes.into_iter().collect::<anyhow::Result<Vec<f64>>>();
    Ok(Flooded {
        rate: f64::from(answered.into_inner()) / time,
        probe: median(probes.context("a probe was not answered")?),
    })
}

fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "it is not live: {answer}");
    Ok(())
}
