//! Carries out what the schedule says, and starts servers and agents again as an init system does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use internal_testing::processes::{self, Pid};
use internal_testing::{Daemon, Installation};

use crate::ledger::Ledger;
use crate::schedule::{Decision, Target};

/// How many agents share the place root.
const AGENTS: usize = 2;
/// The arguments of each.
const ARGUMENTS: [&str; 2] = ["--slots", "3"];

/// The installation's processes that are kept up.
#[derive(Debug)]
pub(crate) struct Killer {
    pub(crate) installation: Installation,
    agents: Vec<Kept>,
    server_back: Option<Instant>,
    ledger: Arc<Ledger>,
}

/// An agent, or when it comes back.
#[derive(Debug)]
struct Kept {
    name: String,
    /// How many came before it in its place.
    generation: u32,
    daemon: Option<Daemon>,
    back: Instant,
}

/// A place's processes, as far as they are there.
#[derive(Debug)]
struct Place {
    /// `TASK.NUMBER`.
    attempt: String,
    sandbox: Pid,
    goat: Option<Pid>,
    task_agent: Option<Pid>,
}

impl Killer {
    /// Keeps the installation's server up, and starts the agents.
    pub(crate) fn new(installation: Installation, ledger: Arc<Ledger>) -> Self {
        let agents = (1..=AGENTS)
            .map(|number| {
                let name = format!("agent-{number}");
                Kept {
                    daemon: Some(installation.agent_with(&name, &ARGUMENTS)),
                    name,
                    generation: 1,
                    back: Instant::now(),
                }
            })
            .collect();
        Self {
            installation,
            agents,
            server_back: None,
            ledger,
        }
    }

    /// Kills as the seed says until `stop` is set; then everything is up.
    pub(crate) fn run(&mut self, seed: u64, stop: &AtomicBool) {
        for number in 0.. {
            let decision = Decision::new(seed, number);
            let at = Instant::now() + decision.pause;
            while Instant::now() < at {
                if stop.load(Ordering::Relaxed) {
                    return self.all_up();
                }
                self.look_after();
                thread::sleep(Duration::from_millis(5));
            }
            self.carry_out(number, decision);
        }
    }

    fn all_up(&mut self) {
        self.server_back = self.server_back.map(|_| Instant::now());
        for agent in &mut self.agents {
            agent.back = Instant::now();
        }
        self.look_after();
        self.ledger.note("all are up, and nobody is killed any more");
    }

    /// Starts what is due, and sees whether somebody ended unasked.
    pub(crate) fn look_after(&mut self) {
        if self.server_back.is_some_and(|back| back <= Instant::now()) {
            self.server_back = None;
            self.installation.start_server();
            self.ledger.note("the server is back");
        }
        if let Some(status) = self.installation.server.as_mut().and_then(Daemon::ended) {
            self.ledger
                .broken(format!("the server ended by itself: {status}"));
            self.installation.server = None;
            self.server_back = Some(Instant::now());
        }
        for agent in &mut self.agents {
            if let Some(status) = agent.daemon.as_mut().and_then(Daemon::ended) {
                self.ledger
                    .broken(format!("agent {} ended by itself: {status}", agent.name));
                agent.daemon = None;
            }
            // One that cannot find its server at its start would wait for it, which is its own business.
            if agent.daemon.is_none() && agent.back <= Instant::now() {
                agent.daemon = Some(self.installation.agent_with(&agent.name, &ARGUMENTS));
                self.ledger.note(&format!("agent {} is back", agent.name));
            }
        }
    }

    fn carry_out(&mut self, number: u64, decision: Decision) {
        let Decision {
            target, pick, down, ..
        } = decision;
        let text = format!("kill {number}: {target}");
        match target {
            Target::Server | Target::ServerForLong => self.kill_server(target, &text, down),
            Target::StartingServer => {
                self.kill_server(target, &text, Duration::ZERO);
                self.installation.launch_server();
                thread::sleep(down);
                self.kill_server(target, &format!("{text}, again"), Duration::ZERO);
            }
            Target::Agent => {
                self.kill_agent(target, &text, pick, down);
            }
            Target::AgentForGood => {
                let at = self.kill_agent(target, &text, pick, down);
                let agent = &mut self.agents[at];
                agent.generation += 1;
                agent.name = format!("agent-{}-{}", at + 1, agent.generation);
            }
            Target::Everything => {
                self.kill_server(target, &text, down);
                for at in 0..self.agents.len() {
                    self.kill_agent(target, &text, u64::try_from(at).expect("few agents"), down);
                }
            }
            Target::Sandbox | Target::Goat | Target::TaskAgent | Target::Step => {
                self.kill_in_place(target, &text, pick);
            }
        }
    }

    fn kill_server(&mut self, target: Target, text: &str, down: Duration) {
        if self.installation.server.is_some() {
            self.ledger.kill(target, None, text);
            self.installation.kill_server();
            self.server_back = Some(Instant::now() + down);
        }
    }

    fn kill_agent(&mut self, target: Target, text: &str, pick: u64, down: Duration) -> usize {
        let at = choose(pick, self.agents.len()).expect("there are agents");
        let agent = &mut self.agents[at];
        if let Some(daemon) = agent.daemon.take() {
            self.ledger
                .kill(target, None, &format!("{text} ({})", agent.name));
            daemon.kill();
            agent.back = Instant::now() + down;
        }
        at
    }

    fn kill_in_place(&self, target: Target, text: &str, pick: u64) {
        let victims: Vec<(String, Pid)> = places(&self.installation.place_root())
            .into_iter()
            .flat_map(|place| {
                let pids = match target {
                    Target::Sandbox => vec![place.sandbox],
                    Target::Goat => place.goat.into_iter().collect(),
                    Target::TaskAgent => place.task_agent.into_iter().collect(),
                    _ => place.task_agent.map(below).unwrap_or_default(),
                };
                pids.into_iter().map(move |pid| (place.attempt.clone(), pid))
            })
            .collect();
        let Some(at) = choose(pick, victims.len()) else {
            return self.ledger.note(&format!("{text}: nobody is there"));
        };
        let (attempt, pid) = &victims[at];
        let line: String = processes::command_line(*pid).chars().take(60).collect();
        self.ledger.kill(
            target,
            Some(attempt),
            &format!("{text} of {attempt}: {pid} {line}"),
        );
        processes::kill(*pid);
    }

    /// Stops the agents and the server well.
    pub(crate) fn stop(&mut self) {
        for agent in &mut self.agents {
            if let Some(mut daemon) = agent.daemon.take() {
                let status = daemon.stop();
                if !status.success() {
                    self.ledger.broken(format!(
                        "agent {} was stopped and ended with {status}",
                        agent.name
                    ));
                }
            }
        }
        if let Some(mut server) = self.installation.server.take() {
            let status = server.stop();
            if !status.success() {
                self.ledger
                    .broken(format!("the server was stopped and ended with {status}"));
            }
        }
    }
}

fn choose(pick: u64, count: usize) -> Option<usize> {
    let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
    usize::try_from(pick % count).ok()
}

fn places(root: &Path) -> Vec<Place> {
    let mut places: Vec<Place> = processes::sandboxes(root)
        .into_iter()
        .filter_map(|sandbox| {
            let line = processes::command_line(sandbox);
            let path = line.split_once("--place ")?.1.split(' ').next()?;
            let attempt = Path::new(path).file_name()?.to_str()?.to_owned();
            let child = |parent: Pid, name: &str| {
                processes::children(parent)
                    .into_iter()
                    .find(|pid| processes::command_line(*pid).contains(name))
            };
            let goat = child(sandbox, "orchestrator");
            let task_agent = goat.and_then(|goat| child(goat, "circleci-agent"));
            Some(Place {
                attempt,
                sandbox,
                goat,
                task_agent,
            })
        })
        .collect();
    places.sort_by(|one, other| one.attempt.cmp(&other.attempt));
    places
}

/// All processes below one.
fn below(parent: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut parents = vec![parent];
    while let Some(parent) = parents.pop() {
        let children = processes::children(parent);
        found.extend(&children);
        parents.extend(children);
    }
    found
}
