//! `goatherd sandbox`: the process around one task.
//!
//! It makes the namespaces, stays outside of them as GOAT's parent, passes TERM on, writes down how GOAT
//! ended, and keeps the place until somebody has collected it. It is single-threaded on purpose: it is
//! executed anew, before any runtime exists, because a process with threads cannot be copied safely.

mod cage;
mod probe;
mod root;
mod task;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use sys::namespace::child::{Child, Collect, wait};
use sys::namespace::inheritance::adopt;
use sys::process::{End, Signal, SignalQueue, pidfd_send_signal};

use super::folder::{Ended, Folder, State};
use super::process::Process;
use super::{refusal, removal};

/// The sandbox's one line on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(super) enum Report {
    /// GOAT runs; or the probe found nothing missing.
    Started,
    /// Nothing of the task has run, and nothing will.
    Refused {
        /// Why, in a sentence.
        message: String,
    },
}

#[derive(Debug)]
enum Request {
    Run {
        place: PathBuf,
        lock: i32,
        lifeline: Option<i32>,
    },
    Probe {
        root: PathBuf,
    },
}

/// Runs `goatherd sandbox` with the arguments after that word.
///
/// Call it first thing in `main`: it needs a process with a single thread.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let done = match parse(arguments) {
        Ok(Request::Run {
            place,
            lock,
            lifeline,
        }) => run(&Folder::at(place), lock, lifeline),
        Ok(Request::Probe { root }) => probe::run(&root).inspect(|()| report(&Report::Started)),
        Err(message) => Err(message),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "goatherd sandbox: {message}");
            report(&Report::Refused { message });
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let (mut place, mut lock, mut lifeline, mut root) = (None, None, None, None);
    while let Some(flag) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{} needs a value", flag.display()))?;
        let number = || {
            let number = value.to_str().and_then(|text| text.parse::<i32>().ok());
            number.ok_or_else(|| format!("{} needs the number of a descriptor", flag.display()))
        };
        match flag.to_str() {
            Some("--place") => place = Some(PathBuf::from(value)),
            Some("--lock") => lock = Some(number()?),
            Some("--lifeline") => lifeline = Some(number()?),
            Some("--probe") => root = Some(PathBuf::from(value)),
            _ => return Err(format!("{} is unknown", flag.display())),
        }
    }
    match (place, lock, root) {
        (Some(place), Some(lock), None) => Ok(Request::Run {
            place,
            lock,
            lifeline,
        }),
        (None, None, Some(root)) => Ok(Request::Probe { root }),
        _ => Err("the agent starts this command itself; it is not for people".to_owned()),
    }
}

fn report(report: &Report) {
    let line = serde_json::to_string(report).expect("a report is plain data");
    // Whoever asked may be gone.
    let _ = writeln!(io::stdout(), "{line}");
}

fn run(folder: &Folder, lock: i32, lifeline: Option<i32>) -> Result<(), String> {
    let inherited = |number: i32| adopt(number).map_err(|error| format!("descriptor {number}: {error}"));
    // Held by its number as well; both end with this process.
    let _lock = inherited(lock)?;
    let lifeline = lifeline.map(inherited).transpose()?;
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
    let signals = SignalQueue::open(&signals).map_err(|error| refusal::sentence("block signals", &error))?;
    let spec = folder
        .spec()
        .map_err(|error| refusal::sentence("read the place's specification", &error))?
        .ok_or("the place has no specification")?;
    let goat = start(folder, &spec).inspect_err(|_| {
        let _ = std::fs::remove_file(folder.join("state.json"));
    })?;
    report(&Report::Started);
    let supervisor = Supervisor {
        folder,
        goat,
        signals,
        lifeline,
    };
    supervisor
        .supervise(spec.linger.duration())
        .map_err(|error| format!("cannot supervise the task: {error}"))
}

/// Brings GOAT up to the moment from which it runs.
fn start(folder: &Folder, spec: &super::folder::Spec) -> Result<Child, String> {
    let written = |state: State| {
        folder
            .write_state(&state)
            .map_err(|error| refusal::sentence("write the place's state", &error))
    };
    let named = |pid: u32| {
        let pid = i32::try_from(pid).expect("a process id fits an i32");
        Process::of(pid).map_err(|error| refusal::sentence("read /proc", &error))
    };
    let sandbox = named(std::process::id())?;
    written(State { sandbox, goat: None })?;
    let mut cage = cage::Cage::open(spec.ids, |channel| task::become_goat(channel, folder, spec))?;
    cage.await_ready()?;
    // From here on something of the task may have run, so it is on the disk first.
    let goat = Process::of(cage.pid()).map_err(|error| refusal::sentence("read /proc", &error))?;
    written(State {
        sandbox,
        goat: Some(goat),
    })?;
    cage.release()
}

struct Supervisor<'a> {
    folder: &'a Folder,
    goat: Child,
    signals: SignalQueue,
    lifeline: Option<OwnedFd>,
}

/// What a [`Supervisor`] was woken by.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    GoatEnded,
    LifelineEnded,
    Asked,
    TimeOver,
}

impl Supervisor<'_> {
    fn supervise(mut self, linger: Duration) -> io::Result<()> {
        self.leave_standard_output()?;
        let goat = self.goat.pidfd.try_clone()?;
        loop {
            match self.next_event(Some(goat.as_fd()), None)? {
                Event::GoatEnded => break,
                Event::LifelineEnded => {
                    pidfd_send_signal(goat.as_fd(), Signal::SIGKILL)?;
                    wait(goat.as_fd(), Collect::Reap)?;
                    return removal::remove(self.folder);
                }
                Event::Asked => _ = pidfd_send_signal(goat.as_fd(), Signal::SIGTERM)?,
                Event::TimeOver => {}
            }
        }
        let ended = match wait(goat.as_fd(), Collect::Leave)? {
            End::Exited(code) => Ended {
                code: Some(code),
                signal: None,
            },
            End::Signalled { signal, .. } => Ended {
                code: None,
                signal: Some(signal),
            },
        };
        // Reaped only now: as long as nobody knows the end, nobody else gets the process id.
        self.folder.write_ended(&ended)?;
        wait(goat.as_fd(), Collect::Reap)?;
        let until = self.lifeline.is_none().then(|| Instant::now() + linger);
        match self.next_event(None, until)? {
            // The place is left for whoever collects it.
            Event::Asked | Event::GoatEnded => Ok(()),
            Event::LifelineEnded | Event::TimeOver => removal::remove(self.folder),
        }
    }

    fn next_event(&mut self, goat: Option<BorrowedFd<'_>>, until: Option<Instant>) -> io::Result<Event> {
        loop {
            let timeout = match until {
                None => PollTimeout::NONE,
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Event::TimeOver);
                    }
                    // Rounded up, so that it does not wake just before.
                    PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
                }
            };
            let watched = [
                goat,
                self.lifeline.as_ref().map(AsFd::as_fd),
                Some(self.signals.as_fd()),
            ];
            let mut polled: Vec<_> = watched
                .iter()
                .flatten()
                .map(|descriptor| PollFd::new(*descriptor, PollFlags::POLLIN))
                .collect();
            match poll(&mut polled, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let mut woken = polled.iter().map(|polled| polled.any().unwrap_or(false));
            let mut is_woken = |present: bool| present && woken.next().unwrap_or(false);
            let (goat, lifeline) = (is_woken(goat.is_some()), is_woken(self.lifeline.is_some()));
            if goat {
                return Ok(Event::GoatEnded);
            }
            if lifeline {
                return Ok(Event::LifelineEnded);
            }
            if self.signals.take()?.is_some() {
                return Ok(Event::Asked);
            }
        }
    }

    /// Whoever started this reads standard output to its end.
    fn leave_standard_output(&self) -> io::Result<()> {
        let nothing = File::options().write(true).open("/dev/null")?;
        Ok(nix::unistd::dup2_stdout(nothing)?)
    }
}
