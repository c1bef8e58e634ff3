//! Runs one task: starts it, does to it what is planned, and writes down what was seen.

mod actions;

use std::io::{PipeReader, Read as _};
use std::net::TcpStream;
use std::process::ExitStatus;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use internal_testing::processes::{self, Pid};

use self::actions::Done;
use super::ground::Ground;
use super::marked;
use super::place::Place;
use super::plan::{Action, Output, Plan, Readiness};
use super::runner_api::{Call, RunnerApi};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);
/// Longer than any task takes: patience with the runner API and with a stuck reader included.
const HANG: Duration = Duration::from_secs(60);
/// How long a zombie may stay.
const ZOMBIE: Duration = Duration::from_secs(15);

/// All that was seen of a task.
#[derive(Debug)]
pub(super) struct Facts {
    /// What the task said of itself.
    pub(super) marks: Vec<String>,
    pub(super) status: ExitStatus,
    /// The first TERM or INT that was sent.
    pub(super) interrupted: Option<Interrupted>,
    /// This program killed the task agent.
    pub(super) killed_agent: bool,
    pub(super) killed_goat: bool,
    /// From the start.
    pub(super) lasted: Duration,
    /// The termination message, as it lies there.
    pub(super) termination: Vec<u8>,
    pub(super) calls: Vec<Call>,
    /// What GOAT and the task wrote.
    pub(super) log: String,
    /// What the task agent read from its standard input.
    pub(super) token_read: Vec<u8>,
    pub(super) on_disk: Vec<String>,
    /// What must not have been, seen while it ran or right after.
    pub(super) wrong: Vec<String>,
}

/// A TERM or INT.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interrupted {
    /// No later than it was sent, from the start.
    pub(super) earliest: Duration,
    /// The task sent it, if nothing ended it before.
    pub(super) from_inside: bool,
}

/// A task under way.
struct Course<'run> {
    plan: &'run Plan,
    place: Place,
    start: Instant,
    actions: Vec<(Duration, Action)>,
    ready_at: Option<Duration>,
    drained: Drained,
    interrupted: Option<Interrupted>,
    killed_agent: bool,
    killed_goat: bool,
    zombies_since: Option<Instant>,
    looked: bool,
    held: Vec<TcpStream>,
    wrong: Vec<String>,
}

/// The pipe that is GOAT's output, and who reads it.
enum Drained {
    /// There is none.
    Nothing,
    /// Nobody reads it until then.
    At(Duration, PipeReader),
    By(JoinHandle<String>),
}

/// Runs a task to its end.
pub(super) fn run(plan: &Plan, ground: &Ground) -> anyhow::Result<Facts> {
    let api = RunnerApi::start(plan, &ground.mark(plan))?;
    let mut place = Place::start(plan, ground, &api)?;
    let output = place.take_output();
    let mut course = Course {
        plan,
        start: Instant::now(),
        actions: plan
            .actions
            .iter()
            .map(|(when, action)| (Duration::from_millis(*when), *action))
            .collect(),
        ready_at: match plan.readiness {
            Some(Readiness::After(time)) => Some(Duration::from_millis(time)),
            _ => None,
        },
        drained: match (output, plan.output) {
            (Some(pipe), Output::Pipe(time)) => Drained::At(Duration::from_millis(time), pipe),
            (Some(pipe), _) => Drained::At(HANG * 2, pipe),
            (None, _) => Drained::Nothing,
        },
        place,
        interrupted: None,
        killed_agent: false,
        killed_goat: false,
        zombies_since: None,
        looked: false,
        held: Vec::new(),
        wrong: Vec::new(),
    };
    let status = course.run_out()?;
    course.conclude(status, api, ground)
}

impl Course<'_> {
    fn run_out(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.place.ended()? {
                return Ok(status);
            }
            let now = self.start.elapsed();
            anyhow::ensure!(now < HANG, "it hangs: {}", self.described());
            if self.ready_at.is_some_and(|at| now >= at) {
                self.ready_at = None;
                std::fs::write(self.place.folder.join("ready"), "")?;
            }
            self.drain(now);
            self.look(now)?;
            let due = self.actions.iter().position(|(at, _)| now >= *at);
            if let Some(index) = due {
                let (_, action) = self.actions.remove(index);
                if self.act(action)? == Done::NotYet {
                    self.actions.push((now + LOOK, action));
                }
            }
            thread::sleep(LOOK);
        }
    }

    fn drain(&mut self, now: Duration) {
        if let Drained::At(at, _) = &self.drained
            && now >= *at
            && let Drained::At(_, pipe) = std::mem::replace(&mut self.drained, Drained::Nothing)
        {
            self.drained = Drained::By(thread::spawn(move || all_of(pipe)));
        }
    }

    /// Looks at what the task says, and at what must never be.
    fn look(&mut self, now: Duration) -> anyhow::Result<()> {
        let marks = self.place.marks();
        if self.interrupted.is_none() && marks.iter().any(|mark| mark == "interrupting") {
            self.interrupted = Some(Interrupted {
                earliest: Duration::ZERO,
                from_inside: true,
            });
        }
        if !self.looked && marks.iter().any(|mark| mark == "began") {
            self.looked = true;
            self.look_for_the_token();
        }
        let go = self.place.folder.join("go");
        if marks.iter().any(|mark| mark == "orphans") && !go.exists() {
            let Some(goat) = self.place.goat() else {
                return Ok(());
            };
            let zombies: Vec<Pid> = marked::children(goat)
                .into_iter()
                .filter(|pid| marked::is_zombie(*pid))
                .collect();
            let since = *self.zombies_since.get_or_insert(self.start + now);
            if zombies.is_empty() {
                std::fs::write(&go, "")?;
            } else {
                anyhow::ensure!(
                    since.elapsed() < ZOMBIE,
                    "zombies stay: {zombies:?}; {}",
                    self.described()
                );
            }
        }
        Ok(())
    }

    /// The token is in no argument, and in no environment once the task agent runs.
    fn look_for_the_token(&mut self) {
        let mut pids = marked::all(&self.place.mark);
        pids.extend(self.place.goat());
        for pid in pids {
            for file in ["environ", "cmdline"] {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                if holds(&bytes, &self.place.token) {
                    self.wrong.push(format!(
                        "the token is in {file} of {pid} {}",
                        processes::command_line(pid)
                    ));
                }
            }
        }
    }

    fn conclude(mut self, status: ExitStatus, api: RunnerApi, ground: &Ground) -> anyhow::Result<Facts> {
        let lasted = self.start.elapsed();
        let left = marked::all(&self.place.mark);
        if !left.is_empty() {
            self.wrong
                .push(format!("it left processes: {}", marked::described(&left)));
            for pid in left {
                marked::kill(pid, &self.place.mark);
            }
        }
        self.drain(HANG * 3);
        let mut log = self.place.log();
        if let Drained::By(reader) = self.drained {
            log += &reader.join().ok().context("the reader panicked")?;
        }
        let marks = self.place.marks();
        if self.interrupted.is_none() && marks.iter().any(|mark| mark == "interrupting") {
            self.interrupted = Some(Interrupted {
                earliest: Duration::ZERO,
                from_inside: true,
            });
        }
        let termination = std::fs::read(self.place.disk.join("termination")).unwrap_or_default();
        for (name, bytes) in [
            ("the log", log.as_bytes()),
            ("the termination message", &termination),
        ] {
            if holds(bytes, &self.place.token) {
                self.wrong.push(format!("the token is in {name}"));
            }
        }
        let calls = api.stop();
        for call in &calls {
            if call.authorization.as_deref() != Some(&format!("Bearer {}", self.place.token)) {
                self.wrong
                    .push(format!("a call of {} has another token", call.path));
            }
        }
        Ok(Facts {
            token_read: std::fs::read(self.place.folder.join("token")).unwrap_or_default(),
            on_disk: ground.on_disk()?,
            marks,
            status,
            interrupted: self.interrupted,
            killed_agent: self.killed_agent,
            killed_goat: self.killed_goat,
            lasted,
            termination,
            calls,
            log,
            wrong: self.wrong,
        })
        .map(|facts| facts.with_token(&self.place.token))
    }

    /// What one wants to know of a GOAT that hangs.
    fn described(&self) -> String {
        let mut text = String::new();
        for pid in [Some(self.place.holder()), self.place.goat()]
            .into_iter()
            .flatten()
        {
            for file in ["cmdline", "status", "wchan", "stack"] {
                let content = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                text += &format!(
                    "\n{pid}/{file}: {}",
                    String::from_utf8_lossy(&content).replace('\0', " ")
                );
            }
        }
        let marked = marked::all(&self.place.mark);
        format!(
            "{text}\nof the task: {}\nmarks: {:?}\nlog:\n{}",
            marked::described(&marked),
            self.place.marks(),
            self.place.log()
        )
    }
}

impl Facts {
    /// What the task agent read must be the token, once it says that it has read it.
    fn with_token(mut self, token: &str) -> Self {
        if self.marks.iter().any(|mark| mark == "token") && self.token_read != token.as_bytes() {
            self.wrong.push(format!(
                "the task agent read {} bytes, which are not the token of {}",
                self.token_read.len(),
                token.len()
            ));
        }
        self
    }
}

fn holds(bytes: &[u8], token: &str) -> bool {
    // A part of a long one is as bad.
    let part = token.as_bytes().get(..32).unwrap_or(token.as_bytes());
    bytes.windows(part.len()).any(|window| window == part)
}

fn all_of(mut pipe: PipeReader) -> String {
    let mut bytes = Vec::new();
    // What is not read is missing in the log, and found there.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
