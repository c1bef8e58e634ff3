//! `goatherd sandbox`: the process around one task.
//!
//! It makes the namespaces, stays outside of them as GOAT's parent, passes TERM on, writes down how GOAT
//! ended, and keeps the place until somebody has collected it. It is single-threaded on purpose: it is
//! executed anew, before any runtime exists, because a process with threads cannot be copied safely.

mod cage;
mod keeper;
mod probe;
mod root;
mod task;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use sys::namespace::child::{Child, Collect, wait};
use sys::namespace::inheritance::adopt;
use sys::process::{End, Signal, SignalQueue, Waited, own_pid, pidfd_send_signal, set_subreaper, wait_any};

use super::cgroup::Cgroup;
use super::folder::{Ended, Folder, Spec, State};
use super::isolation::{Binaries, Kind};
use super::process::Process;
use super::refusal::{self, Refusal};
use super::removal;
use super::traces::{self, Kin};

/// The sandbox's one line on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(super) enum Report {
    /// GOAT runs.
    Started,
    /// The probe found nothing missing.
    Possible {
        /// How places come to the binaries.
        binaries: Binaries,
    },
    /// Nothing of the task has run, and nothing will.
    Refused {
        /// Why, in a sentence.
        message: String,
        /// Whether the host does not let namespaces be made or used.
        by_host: bool,
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
        bin_dir: PathBuf,
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
        }) => run_place(&Folder::at(place), lock, lifeline),
        Ok(Request::Probe { root, bin_dir }) => probe::run(&root, &bin_dir).map(|binaries| {
            report(&Report::Possible { binaries });
            0
        }),
        Err(message) => Err(message.into()),
    };
    ExitCode::from(u8::try_from(code(done)).unwrap_or(FAILURE))
}

const FAILURE: u8 = 1;

/// What to exit with. A failure is told to whoever started this, and in the place's log.
fn code(done: Result<i32, Refusal>) -> i32 {
    match done {
        Ok(code) => code,
        Err(Refusal { message, by_host }) => {
            say(&message);
            report(&Report::Refused { message, by_host });
            i32::from(FAILURE)
        }
    }
}

/// Standard error is the place's log.
fn say(message: &str) {
    let _ = writeln!(io::stderr(), "goatherd sandbox: {message}");
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let (mut place, mut lock, mut lifeline) = (None, None, None);
    let (mut root, mut bin_dir) = (None, None);
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
            Some("--bin") => bin_dir = Some(PathBuf::from(value)),
            _ => return Err(format!("{} is unknown", flag.display())),
        }
    }
    match (place, lock, root.zip(bin_dir)) {
        (Some(place), Some(lock), None) => Ok(Request::Run {
            place,
            lock,
            lifeline,
        }),
        (None, None, Some((root, bin_dir))) => Ok(Request::Probe { root, bin_dir }),
        _ => Err("the agent starts this command itself; it is not for people".to_owned()),
    }
}

fn report(report: &Report) {
    let line = serde_json::to_string(report).expect("a report is plain data");
    // Whoever asked may be gone.
    let _ = writeln!(io::stdout(), "{line}");
}

fn run_place(folder: &Folder, lock: i32, lifeline: Option<i32>) -> Result<i32, Refusal> {
    let inherited = |number: i32| adopt(number).map_err(|error| format!("descriptor {number}: {error}"));
    // Held by its number as well; both end with this process.
    let _lock = inherited(lock)?;
    let lifeline = lifeline.map(inherited).transpose()?;
    let spec = folder
        .spec()
        .map_err(|error| refusal::sentence("read the place's specification", &error))?
        .ok_or_else(|| "the place has no specification".to_owned())?;
    let run = || run(folder, &spec, lifeline);
    match spec.kind {
        Kind::Namespaces => run(),
        Kind::Plain => Ok(keeper::run_below(folder, &spec, || code(run()))?),
    }
}

fn run(folder: &Folder, spec: &Spec, lifeline: Option<OwnedFd>) -> Result<i32, Refusal> {
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
    let signals = SignalQueue::open(&signals).map_err(|error| refusal::sentence("block signals", &error))?;
    if spec.kind == Kind::Plain {
        set_subreaper().map_err(|error| refusal::sentence("adopt orphans", &error))?;
    }
    let goat = start(folder, spec).inspect_err(|_| {
        let _ = std::fs::remove_file(folder.join("state.json"));
    })?;
    report(&Report::Started);
    let supervisor = Supervisor {
        folder,
        spec,
        goat,
        signals,
        lifeline,
    };
    supervisor
        .supervise()
        .map(|()| 0)
        .map_err(|error| format!("cannot supervise the task: {error}").into())
}

/// Brings GOAT up to the moment from which it runs.
fn start(folder: &Folder, spec: &Spec) -> Result<Child, Refusal> {
    let written = |state: State| {
        folder
            .write_state(&state)
            .map_err(|error| refusal::sentence("write the place's state", &error))
    };
    let named = |pid: i32| Process::of(pid).map_err(|error| refusal::sentence("read /proc", &error));
    let sandbox = named(own_pid().as_raw())?;
    written(State { sandbox, goat: None })?;
    let mut cage = cage::Cage::open(spec.kind, spec.ids, |channel| {
        task::become_goat(channel, folder, spec)
    })?;
    cage.await_ready()?;
    if spec.kind == Kind::Plain {
        gather(folder, cage.pid())?;
    }
    // From here on something of the task may have run, so it is on the disk first.
    let goat = named(cage.pid())?;
    written(State {
        sandbox,
        goat: Some(goat),
    })?;
    cage.release()
}

/// Puts what will be GOAT into a control group of the place's own, if one can be had.
fn gather(folder: &Folder, pid: i32) -> Result<(), String> {
    match Cgroup::enter(folder, pid, task::share_of_processes()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            say("the task has no control group: none can be made below this process's own");
            Ok(())
        }
        Err(error) => Err(refusal::sentence("make a control group", &error)),
    }
}

struct Supervisor<'a> {
    folder: &'a Folder,
    spec: &'a Spec,
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
    fn supervise(mut self) -> io::Result<()> {
        keeper::leave_standard_output()?;
        let goat = self.goat.pidfd.try_clone()?;
        loop {
            match self.next_event(Some(goat.as_fd()), None)? {
                Event::GoatEnded => break,
                Event::LifelineEnded => {
                    pidfd_send_signal(goat.as_fd(), Signal::SIGKILL)?;
                    wait(goat.as_fd(), Collect::Reap)?;
                    self.end_what_is_left();
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
        self.end_what_is_left();
        // Reaped only now: as long as nobody knows the end, nobody else gets the process id.
        self.folder.write_ended(&ended)?;
        wait(goat.as_fd(), Collect::Reap)?;
        // Orphans of a plain place came here.
        while let Waited::Child(_) = wait_any()? {}
        let linger = self.spec.linger.duration();
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

    /// In a PID namespace the kernel has done it. What does not die is in the log, and keeps the place from being
    /// removed.
    fn end_what_is_left(&self) {
        if self.spec.kind == Kind::Plain
            && let Err(error) = traces::end(self.folder, self.spec, Kin::Below)
        {
            say(&error.to_string());
        }
    }
}
