//! The child, in namespaces of its own or without, and the words that it and its parent exchange until it runs free.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use sys::namespace::child::{Child, Collect, spawn_copy, spawn_in_new_namespaces, wait};
use sys::process::{Signal, pidfd_send_signal};

use crate::local::isolation::Kind;
use crate::local::refusal::{self, Refusal};
use crate::local::user::{Ids, TASK};

const MAPPED: u8 = b'm';
const READY: u8 = b'r';
const GO: u8 = b'g';
const REFUSED: u8 = b'!';
const REFUSED_BY_HOST: u8 = b'?';

/// The parent's side. Dropped before [`release`](Cage::release), it ends the child.
pub(super) struct Cage {
    child: Option<Child>,
    channel: UnixStream,
}

/// The child's side.
pub(super) struct Channel(UnixStream);

impl Cage {
    /// Starts a child that runs `body`; in namespaces of its own its user is mapped to `ids`.
    pub(super) fn open(
        kind: Kind,
        ids: Ids,
        body: impl FnOnce(&mut Channel) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        let (ours, theirs) =
            UnixStream::pair().map_err(|error| refusal::sentence("make a socket pair", &error))?;
        // The child closes its copy of the parent's end, or it would never see the parent go.
        let mut ours = Some(ours);
        let mut theirs = Some(theirs);
        let first = || {
            drop(ours.take());
            theirs.take().map_or(1, |channel| Channel(channel).run(body))
        };
        let child = match kind {
            Kind::Namespaces => spawn_in_new_namespaces(first).map_err(|error| {
                Refusal::of_namespaces("make user, PID, mount, IPC and UTS namespaces", &error)
            })?,
            Kind::Plain => spawn_copy(first).map_err(|error| refusal::sentence("start a process", &error))?,
        };
        drop(theirs);
        let pid = child.pid;
        let mut cage = Self {
            child: Some(child),
            channel: ours.expect("only the child takes it"),
        };
        if kind == Kind::Namespaces {
            map_user(pid, ids).map_err(|error| Refusal::of_namespaces(refusal::MAP, &error))?;
        }
        cage.tell(MAPPED)?;
        Ok(cage)
    }

    pub(super) fn pid(&self) -> i32 {
        self.child
            .as_ref()
            .expect("it is there until the cage is released")
            .pid
    }

    /// Waits until the child has done all that could fail.
    pub(super) fn await_ready(&mut self) -> Result<(), Refusal> {
        let mut word = [0];
        match self.channel.read(&mut word) {
            Ok(1) if word == [READY] => Ok(()),
            Ok(1) => Err(Refusal {
                message: self.rest(),
                by_host: word == [REFUSED_BY_HOST],
            }),
            Ok(_) => Err("the sandbox's first process ended without a word"
                .to_owned()
                .into()),
            Err(error) => Err(refusal::sentence("hear from the sandbox", &error).into()),
        }
    }

    /// Lets the child go on to execute its program, and waits until it has.
    pub(super) fn release(mut self) -> Result<Child, Refusal> {
        self.tell(GO)?;
        let rest = self.rest();
        if rest.is_empty() {
            Ok(self.child.take().expect("it is there until the cage is released"))
        } else {
            let tags = [char::from(REFUSED), char::from(REFUSED_BY_HOST)];
            Err(rest.trim_start_matches(tags).to_owned().into())
        }
    }

    fn tell(&mut self, word: u8) -> Result<(), String> {
        self.channel
            .write_all(&[word])
            .map_err(|error| refusal::sentence("speak to the sandbox", &error))
    }

    fn rest(&mut self) -> String {
        let mut text = Vec::new();
        let _ = self.channel.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            let _ = pidfd_send_signal(child.pidfd.as_fd(), Signal::SIGKILL);
            let _ = wait(child.pidfd.as_fd(), Collect::Reap);
        }
    }
}

impl Channel {
    fn run(mut self, body: impl FnOnce(&mut Self) -> Result<(), Refusal>) -> i32 {
        let done = self.hear(MAPPED).map_err(Refusal::from);
        match done.and_then(|()| body(&mut self)) {
            Ok(()) => 0,
            Err(Refusal { message, by_host }) => {
                let _ = self
                    .0
                    .write_all(&[if by_host { REFUSED_BY_HOST } else { REFUSED }]);
                let _ = self.0.write_all(message.as_bytes());
                1
            }
        }
    }

    /// Tells the parent that all is prepared, and waits for its word to go on. When it comes the parent is
    /// alive, so a parent-death signal that was set before the call is not too late.
    pub(super) fn ready(&mut self) -> Result<(), String> {
        self.0
            .write_all(&[READY])
            .map_err(|error| format!("cannot speak to the sandbox: {error}"))?;
        self.hear(GO)
    }

    fn hear(&mut self, word: u8) -> Result<(), String> {
        let mut heard = [0];
        match self.0.read(&mut heard) {
            Ok(1) if heard == [word] => Ok(()),
            Ok(_) => Err("the sandbox is gone".to_owned()),
            Err(error) => Err(format!("cannot hear from the sandbox: {error}")),
        }
    }
}

/// Maps the task's user and group inside to `ids` outside (`user_namespaces(7)`).
fn map_user(pid: i32, ids: Ids) -> io::Result<()> {
    if !ids.assigned {
        // Without this an ordinary user may not map a group.
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    fs::write(format!("/proc/{pid}/uid_map"), format!("{TASK} {} 1", ids.uid))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("{TASK} {} 1", ids.gid))
}
