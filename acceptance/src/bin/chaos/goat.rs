//! `./do chaos --goat`: thousands of short tasks under the real `orchestrator`, each of which misbehaves and is
//! disturbed as the seed says, and what GOAT promises about each of them.

mod course;
mod draw;
mod ground;
mod marked;
mod place;
mod plan;
mod runner_api;
mod script;
mod verdict;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use internal_testing::processes;

use self::ground::Ground;
use self::plan::Plan;

/// Tasks at a time: they wait more than they work.
const WORKERS: usize = 6;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) seed: u64,
    /// How many tasks.
    pub(crate) tasks: u64,
    /// This one alone.
    pub(crate) only: Option<u64>,
}

/// A task whose promise was broken.
struct Broken {
    plan: Plan,
    text: String,
    folder: PathBuf,
}

/// What all workers share.
struct Run {
    wanted: Wanted,
    root: PathBuf,
    next: AtomicU64,
    stop: AtomicBool,
    broken: Mutex<Vec<Broken>>,
    counts: Mutex<BTreeMap<String, u64>>,
    longest: Mutex<(Duration, u64)>,
}

/// Runs them.
pub(crate) fn run(wanted: Wanted) -> anyhow::Result<ExitCode> {
    // What GOAT leaves behind where it is nobody's init becomes a child of this process, and is found.
    sys::process::set_subreaper()?;
    let root = tempfile::Builder::new().prefix("goatherd-chaos-").tempdir()?;
    let run = Run {
        wanted,
        root: root.path().to_owned(),
        next: AtomicU64::new(wanted.only.unwrap_or(0)),
        stop: AtomicBool::new(false),
        broken: Mutex::new(Vec::new()),
        counts: Mutex::new(BTreeMap::new()),
        longest: Mutex::new((Duration::ZERO, 0)),
    };
    let start = Instant::now();
    let worked: Vec<anyhow::Result<()>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn({
                    let run = &run;
                    move || run.work(worker)
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|worker| worker.unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked"))))
            .collect()
    });
    worked.into_iter().collect::<anyhow::Result<()>>()?;
    let broken = run.broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts: Vec<String> = run
        .counts
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let (longest, number) = run.longest.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "chaos: {} tasks in {:.1} s; the longest, task {number}, took {:.1} s",
        run.next.into_inner().min(wanted.tasks),
        start.elapsed().as_secs_f64(),
        longest.as_secs_f64()
    );
    println!("chaos: they ended as: {}", counts.join(", "));
    if broken.is_empty() {
        let left = processes::children(std::process::id());
        if !left.is_empty() {
            anyhow::bail!("tasks left processes behind: {}", marked::described(&left));
        }
        println!("chaos: every promise was kept");
        return Ok(ExitCode::SUCCESS);
    }
    let kept = root.keep();
    for one in &broken {
        println!(
            "\nchaos: a broken promise, task {}: {}",
            one.plan.number, one.text
        );
        println!("chaos: its plan: {:?}", one.plan);
        println!("chaos: kept: {}", one.folder.display());
        println!(
            "chaos: again alone: ./do chaos --goat --seed {} --task {}",
            wanted.seed, one.plan.number
        );
    }
    println!("\nchaos: {} tasks with broken promises", broken.len());
    println!("chaos: {} is kept", kept.display());
    Ok(ExitCode::FAILURE)
}

impl Run {
    fn work(&self, worker: usize) -> anyhow::Result<()> {
        let ground = Ground::new(&self.root, worker)?;
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let is_wanted = match self.wanted.only {
                Some(only) => number == only,
                None => number < self.wanted.tasks,
            };
            if !is_wanted {
                return Ok(());
            }
            self.one(&Plan::draw(self.wanted.seed, number), &ground)?;
        }
        Ok(())
    }

    fn one(&self, plan: &Plan, ground: &Ground) -> anyhow::Result<()> {
        let folder = self.root.join(format!("task-{}", plan.number));
        let wrong = match course::run(plan, ground) {
            Err(error) => vec![format!("{error:#}")],
            Ok(facts) => {
                self.count(plan, &facts);
                let wrong = verdict::wrong(plan, &facts);
                if !wrong.is_empty() {
                    fs::write(folder.join("facts.txt"), format!("{facts:#?}\n"))?;
                }
                wrong
            }
        };
        if wrong.is_empty() {
            fs::remove_dir_all(&folder)?;
            return Ok(());
        }
        // One is enough to look at; those under way still end.
        self.stop.store(true, Ordering::Relaxed);
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Broken {
                plan: plan.clone(),
                text: wrong.join("; "),
                folder,
            });
        Ok(())
    }

    fn count(&self, plan: &Plan, facts: &course::Facts) {
        let message: serde_json::Value = serde_json::from_slice(&facts.termination).unwrap_or_default();
        let kind = message["kind"].as_str().unwrap_or("(nothing told)").to_owned();
        *self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(kind)
            .or_default() += 1;
        let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = (*longest).max((facts.lasted, plan.number));
    }
}
