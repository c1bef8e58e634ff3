//! What one task does and what is done to it.

use sys::process::Signal;

/// Where GOAT runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// As PID 1 of a PID namespace.
    Init,
    /// As a child among others.
    Child,
}

/// The configuration's `cmd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrypoint {
    /// It cannot be started.
    Missing,
    /// It ends at once.
    Ends,
    /// It stays, and is deaf to everything that can be ignored.
    Deaf,
}

/// The configuration's `readiness_file_path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// There before the start.
    There,
    /// There after so many milliseconds.
    After(u64),
    /// Never there.
    Never,
}

/// Whether the task agent can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Runs,
    Missing,
    NotExecutable,
}

/// What the task agent does before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Orphans that end soon; the task agent goes on once no zombie is left.
    Orphans(u64),
    /// Processes in sessions of their own that ignore what can be ignored.
    Daemons(u64),
    /// An orphan that has stopped itself.
    Stopped,
    /// A process that keeps the task agent's streams.
    HoldStreams,
    /// So many bytes.
    FloodStderr(u64),
    FloodStdout(u64),
    /// Somebody who writes to standard output as long as he lives.
    Babbler,
    /// Not a byte is free afterwards.
    FillDisk,
    /// A signal to GOAT that must do nothing.
    Signal(Signal),
    /// TERM or INT to GOAT.
    Interrupt(Signal),
    /// Milliseconds.
    Pause(u64),
}

/// How the task agent ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Exit(i32),
    Signal(Signal),
    /// Not at all.
    Waits,
}

/// What the task agent does about a TERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTerm {
    /// It dies of it.
    Dies,
    Exits(i32),
    Ignores,
    /// It exits in the moment in which its time is over.
    ExitsAtTheLast(i32),
}

/// What the runner API says once it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// It takes the request and never answers.
    Never,
}

/// What happens to one request before the runner API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed at once.
    Closed,
    /// It is closed after the request was taken.
    Unanswered,
    /// A status that asks for another try.
    Status(u16),
    /// An answer that is none.
    Garbage,
    /// An answer that breaks off.
    CutOff,
    /// Nobody listens for so many milliseconds.
    Away(u64),
}

/// What this program does to a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A signal to GOAT that must do nothing.
    Signal(Signal),
    /// TERM or INT to GOAT, so often.
    Interrupt(Signal, u64),
    /// STOP, and CONT after so many milliseconds.
    Freeze(u64),
    KillAgent,
    /// Whichever process of the task.
    KillSomebody,
    KillGoat,
    /// `/live` must be 200.
    Probe,
    /// Connections to the health port that say nothing.
    HoldPort,
}

/// Where GOAT's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    File,
    /// A file on the small disk.
    Disk,
    /// One pipe for both streams, which nobody reads for so many milliseconds.
    Pipe(u64),
    /// One pipe for both streams, which nobody reads.
    Stuck,
}

/// One task.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) position: Position,
    /// The configuration comes by a file, not by the environment.
    pub(crate) config_file: bool,
    pub(crate) entrypoint: Option<Entrypoint>,
    pub(crate) readiness: Option<Readiness>,
    pub(crate) start: Start,
    pub(crate) deeds: Vec<Deed>,
    pub(crate) ending: Ending,
    pub(crate) on_term: OnTerm,
    pub(crate) notify: bool,
    pub(crate) unsafe_retries: bool,
    pub(crate) share_instance: bool,
    /// Milliseconds.
    pub(crate) delay: u64,
    /// Milliseconds.
    pub(crate) grace: u64,
    pub(crate) unclaim: Answer,
    pub(crate) fail: Answer,
    pub(crate) faults: Vec<Fault>,
    /// When, in milliseconds from the start, and what.
    pub(crate) actions: Vec<(u64, Action)>,
    pub(crate) output: Output,
    /// How long the token is.
    pub(crate) token: u64,
}
