//! The process around the sandbox of a plain place. It does what the kernel does for a PID namespace: when the
//! sandbox is killed, it ends everything that the task had started.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;

use sys::namespace::child::{Collect, spawn_copy, wait};
use sys::namespace::inheritance::reset_signals;
use sys::process::{End, Signal, SignalQueue, kill_process, own_pid, set_subreaper};

use crate::local::folder::{Folder, Spec};
use crate::local::refusal;
use crate::local::traces::{self, Kin};

/// The keeper's name as `ps` shows it (`comm`), which must not have the program's in it.
const NAME: &CStr = c"place-keeper";

/// Runs the sandbox in a process below this one, and gives its exit code. This process holds the place's lock
/// too, so that nobody takes the place for one that is over before it is.
pub(super) fn run_below(folder: &Folder, spec: &Spec, sandbox: impl FnOnce() -> i32) -> Result<i32, String> {
    // What is asked of the sandbox is not asked of this process.
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
    let _blocked = SignalQueue::open(&signals).map_err(|error| refusal::sentence("block signals", &error))?;
    set_subreaper().map_err(|error| refusal::sentence("adopt orphans", &error))?;
    let child = spawn_copy(sandbox).map_err(|error| refusal::sentence("start a process", &error))?;
    // Whoever kills all of one name (`pkill -9 goatherd`) leaves this process to end what they meant to end.
    nix::sys::prctl::set_name(NAME).map_err(|errno| refusal::sentence("take a name", &errno.into()))?;
    leave_standard_output().map_err(|error| refusal::sentence("leave standard output", &error))?;
    let end = wait(child.pidfd.as_fd(), Collect::Reap)
        .map_err(|error| refusal::sentence("wait for the sandbox", &error))?;
    match end {
        End::Exited(code) => Ok(code),
        End::Signalled { signal, .. } => {
            traces::end(folder, spec, Kin::Below).map_err(|error| error.to_string())?;
            Err(end_by(signal))
        }
    }
}

/// Ends this process as the sandbox was ended, because only this one's end is told to whoever started both. Returns
/// where that does not end it.
fn end_by(signal: i32) -> String {
    let ended = Signal::try_from(signal)
        .map_err(std::io::Error::from)
        .and_then(|signal| {
            reset_signals()?;
            kill_process(own_pid(), signal)
        });
    match ended {
        Ok(_) => format!("the sandbox was ended by signal {signal}"),
        Err(error) => format!("the sandbox was ended by signal {signal}, which cannot be told: {error}"),
    }
}

/// Whoever started this reads standard output to its end.
pub(super) fn leave_standard_output() -> std::io::Result<()> {
    let nothing = File::options().write(true).open("/dev/null")?;
    Ok(nix::unistd::dup2_stdout(nothing)?)
}
