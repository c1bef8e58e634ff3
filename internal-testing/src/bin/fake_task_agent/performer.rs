//! Does one act after the other, and hears signals while it waits.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sys::process::{self, Pid, Signal, SignalQueue};

use crate::acts::{Act, Error, StandardStream, Target};
use crate::{family, record, server};

/// How often it looks whether what it waits for has come.
const LOOK: Duration = Duration::from_millis(2);
/// What a flood is made of.
const WAVE: [u8; 8192] = [b'x'; 8192];
/// The smallest page that Linux has.
const PAGE: usize = 4096;

/// The acts that are left, and what they have brought about.
pub(crate) struct Performer {
    acts: VecDeque<Act>,
    handlers: Vec<(Signal, Vec<Act>)>,
    signals: SignalQueue,
    ready: Arc<AtomicBool>,
    memory: Vec<Vec<u8>>,
}

/// `Break` holds the exit code.
type Flow = ControlFlow<u8>;

impl Performer {
    /// Queues the signals that are not to have their usual effect, before anything else is done.
    pub(crate) fn new(acts: Vec<Act>) -> Result<Self, Error> {
        let mut handlers = Vec::new();
        for act in &acts {
            match act {
                Act::Ignore(signal) => handlers.push((*signal, Vec::new())),
                Act::On(signal, acts) => handlers.push((*signal, acts.clone())),
                _ => {}
            }
        }
        let signals: Vec<Signal> = handlers.iter().map(|(signal, _)| *signal).collect();
        Ok(Self {
            acts: acts.into(),
            handlers,
            signals: SignalQueue::open(&signals)?,
            ready: Arc::new(AtomicBool::new(false)),
            memory: Vec::new(),
        })
    }

    /// Does all of it, and gives the exit code.
    pub(crate) fn perform(&mut self) -> Result<u8, Error> {
        while let Some(act) = self.acts.pop_front() {
            if let Flow::Break(code) = self.act(act)? {
                return Ok(code);
            }
        }
        Ok(0)
    }

    fn act(&mut self, act: Act) -> Result<Flow, Error> {
        match act {
            Act::Record(file) => record::write(&file)?,
            Act::Write(file) => write_at_once(&file, "written\n")?,
            Act::Append(file) => {
                let mut file = OpenOptions::new().create(true).append(true).open(file)?;
                file.write_all(b"again\n")?;
            }
            Act::Await(file) => return self.wait(|| file.exists()),
            // Whoever listens may be gone, which is no reason to stop.
            Act::Say(text) => drop(writeln!(io::stdout(), "{text}")),
            Act::Complain(text) => drop(writeln!(io::stderr(), "{text}")),
            Act::Flood(bytes) => flood(io::stderr().lock(), bytes),
            Act::FloodOutput(bytes) => flood(io::stdout().lock(), bytes),
            Act::Close(stream) => close(stream)?,
            // They are in force already.
            Act::Ignore(_) | Act::On(..) => {}
            Act::Session => drop(nix::unistd::setsid()?),
            Act::Child(words) => family::child(&words)?,
            Act::Orphan(words) => family::orphan(&words)?,
            Act::Orphans(count) => {
                for _ in 0..count {
                    family::orphan(&["exit=0".to_owned()])?;
                }
            }
            Act::Serve(address) => server::serve(&address, Arc::clone(&self.ready))?,
            Act::Ready => self.ready.store(true, Ordering::Relaxed),
            Act::Allocate(bytes) => self.allocate(usize::try_from(bytes)?),
            Act::OomScore(score) => fs::write("/proc/self/oom_score_adj", score.to_string())?,
            Act::Signal(signal, target) => {
                let pid = match target {
                    Target::Itself => process::own_pid(),
                    Target::Parent => nix::unistd::getppid(),
                    Target::Process(pid) => Pid::from_raw(pid),
                };
                process::kill_process(pid, signal)?;
            }
            Act::Sleep(time) => {
                let end = time.map(|time| Instant::now() + time);
                return self.wait(|| end.is_some_and(|end| Instant::now() >= end));
            }
            Act::Exit(code) => return Ok(Flow::Break(code)),
        }
        Ok(Flow::Continue(()))
    }

    fn wait(&mut self, over: impl Fn() -> bool) -> Result<Flow, Error> {
        while !over() {
            if let Flow::Break(code) = self.hear()? {
                return Ok(Flow::Break(code));
            }
            std::thread::sleep(LOOK);
        }
        Ok(Flow::Continue(()))
    }

    fn hear(&mut self) -> Result<Flow, Error> {
        while let Some(received) = self.signals.take()? {
            let acts: Vec<Act> = self
                .handlers
                .iter()
                .filter(|(signal, _)| *signal == received.signal)
                .flat_map(|(_, acts)| acts.clone())
                .collect();
            for act in acts {
                if let Flow::Break(code) = self.act(act)? {
                    return Ok(Flow::Break(code));
                }
            }
        }
        Ok(Flow::Continue(()))
    }

    /// A page counts once it was written to.
    fn allocate(&mut self, bytes: usize) {
        let mut memory = vec![0_u8; bytes];
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        self.memory.push(memory);
    }
}

/// Whoever finds the file finds all of it.
pub(crate) fn write_at_once(file: &Path, text: &str) -> io::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, file)
}

fn flood(mut stream: impl Write, bytes: u64) {
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let wave = WAVE.get(..left.min(WAVE.len())).unwrap_or(&WAVE);
        if stream.write_all(wave).is_err() {
            return;
        }
        left -= wave.len();
    }
}

fn close(stream: StandardStream) -> Result<(), Error> {
    let descriptor = match stream {
        StandardStream::Input => 0,
        StandardStream::Output => 1,
        StandardStream::Error => 2,
    };
    Ok(nix::unistd::close(descriptor)?)
}
