//! `./do chaos`: a real installation under load, whose processes are killed as a seed says, and what it promised.
//!
//! A server and two agents that share one place root take a steady load of pipelines of all kinds. Server, agents,
//! sandboxes, GOATs, task agents and steps get `kill -9`. Each pipeline is looked at again some
//! seconds after its end, and when the load has ended, every promise of docs/faults.md is checked. The first one that is broken is printed with the seed, the kills before it and the
//! folder, which is kept.
//!
//! With `--goat` it is GOAT alone, and many short tasks: see [`goat`].

#![allow(clippy::print_stdout, reason = "its report is its output")]

mod afterwards;
mod dice;
mod files;
mod goat;
mod killer;
mod kinds;
mod ledger;
mod load;
mod promises;
mod schedule;
mod story;
mod witness;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use internal_testing::{Installation, Options};

use crate::killer::Killer;
use crate::ledger::Ledger;
use crate::load::{Load, Pushed};
use crate::witness::Witness;

/// Kills what an installation is made of, at random, and checks what must never happen.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Decides what is pushed and killed; drawn and printed where absent.
    #[arg(long)]
    seed: Option<u64>,
    /// How long, in minutes; then what runs is let end, and is checked.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// GOAT alone, under short tasks that misbehave; needs root.
    #[arg(long)]
    goat: bool,
    /// With `--goat`: how many tasks.
    #[arg(long, default_value_t = 2000, requires = "goat")]
    tasks: u64,
    /// With `--goat`: this task of the seed alone.
    #[arg(long, requires = "goat")]
    task: Option<u64>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => u64::from_le_bytes(random()?) % 1_000_000,
    };
    if arguments.goat {
        println!(
            "chaos: --goat --seed {seed} --tasks {} (the same seed decides the same)",
            arguments.tasks
        );
        return goat::run(goat::Wanted {
            seed,
            tasks: arguments.tasks,
            only: arguments.task,
        });
    }
    let time = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes is no time")?;
    println!(
        "chaos: --seed {seed} --minutes {} (the same seed decides the same)",
        arguments.minutes
    );
    let options = Options {
        // A port that no outgoing connection takes while the server is down.
        listen: format!("127.0.0.1:{}", quiet_port()?),
        ..Options::default()
    };
    let installation = Installation::start(&options);
    let ledger = Arc::new(Ledger::new(&installation.folder().join("history.txt"))?);
    let mut killer = Killer::new(installation, Arc::clone(&ledger));
    let ran = run(&mut killer, &ledger, seed, time);
    if let Err(error) = ran {
        ledger.broken(format!("this program failed: {error:#}"));
    }
    if ledger.is_whole() {
        return Ok(ExitCode::SUCCESS);
    }
    killer.installation.keep();
    report(&ledger, seed, arguments.minutes, &killer);
    Ok(ExitCode::FAILURE)
}

fn run(killer: &mut Killer, ledger: &Arc<Ledger>, seed: u64, time: Duration) -> anyhow::Result<()> {
    let witness = Witness::start(Arc::clone(ledger))?;
    let load = Arc::new(Load {
        seed,
        witness: witness.port,
        repository: Mutex::new(killer.installation.repository.clone()),
        provider: killer.installation.provider(),
        client: killer.installation.client(),
        ledger: Arc::clone(ledger),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let stop = AtomicBool::new(false);
    let pushed = thread::scope(|scope| {
        let killing = scope.spawn(|| killer.run(seed, &stop));
        runtime.block_on(async {
            let driving = tokio::spawn(Arc::clone(&load).drive(time));
            while ledger.now() < time && ledger.is_whole() && !killing.is_finished() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // The killing ends with the load; what runs then ends undisturbed.
            stop.store(true, Ordering::Relaxed);
            if killing.join().is_err() {
                ledger.broken("what was killed could not be started again".to_owned());
            }
            while !driving.is_finished() && ledger.is_whole() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            driving.is_finished().then_some(driving)
        })
    });
    let Some(pushed) = pushed else {
        return Ok(());
    };
    let pushed: Vec<Pushed> = runtime.block_on(pushed)?;
    runtime.block_on(promises::check(&load, &pushed, &witness, ledger))?;
    if ledger.is_whole() {
        files::nothing_left(&killer.installation, ledger);
        killer.stop();
        files::check(&killer.installation, ledger)?;
    }
    summary(ledger, &pushed);
    Ok(())
}

fn summary(ledger: &Ledger, pushed: &[Pushed]) {
    let counts = ledger.counts();
    let kills: Vec<String> = counts
        .iter()
        .map(|(target, count)| format!("{target} {count}"))
        .collect();
    let all: usize = counts.values().sum();
    let lines: u32 = pushed
        .iter()
        .flat_map(|one| one.story.lines.values())
        .map(|lines| lines.last)
        .sum();
    let longest = pushed
        .iter()
        .map(|one| one.to - one.from)
        .max()
        .unwrap_or_default();
    println!(
        "chaos: {} pipelines with {lines} numbered lines; the longest took {:.1} s",
        pushed.len(),
        longest.as_secs_f64()
    );
    println!("chaos: outcomes: {}", promises::outcomes(pushed));
    println!("chaos: {all} kills: {}", kills.join(", "));
    if ledger.is_whole() {
        println!("chaos: every promise was kept");
    }
}

fn report(ledger: &Ledger, seed: u64, minutes: f64, killer: &Killer) {
    println!("\nchaos: the history before its end:");
    for line in ledger.tail(60) {
        println!("  {line}");
    }
    let broken = ledger.all_broken();
    println!("\nchaos: the first broken promise of {}:", broken.len());
    println!("  {}", broken.first().map_or("none", String::as_str));
    println!("chaos: again: ./do chaos --seed {seed} --minutes {minutes}");
    println!("chaos: kept: {}", killer.installation.folder().display());
}

fn random() -> anyhow::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system has no randomness")?;
    Ok(bytes)
}

/// A free port below those that the kernel takes for outgoing connections (ip(7), `ip_local_port_range`).
fn quiet_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let [low, high, ..] = random()?;
        let port = 20_000 + u16::from_le_bytes([low, high]) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port from 20000 to 29999 is free")
}
