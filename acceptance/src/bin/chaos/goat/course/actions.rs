//! What is done to a task from outside.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use internal_testing::processes::{self, Pid};
use sys::process::{self, Signal};

use super::super::plan::{Action, Output};
use super::super::{marked, script};
use super::{Course, Interrupted};

/// How long the health port may take.
const PROBE: Duration = Duration::from_secs(15);

/// Whether something was done, or has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    NotYet,
}

impl Course<'_> {
    /// Does it now, if its time has come.
    pub(super) fn act(&mut self, action: Action) -> anyhow::Result<Done> {
        let Some(goat) = self.place.goat() else {
            return Ok(Done::NotYet);
        };
        match action {
            Action::Signal(signal) => return Ok(self.send(goat, signal)),
            Action::Interrupt(signal, times) => {
                let earliest = self.start.elapsed();
                for _ in 0..times {
                    if self.send(goat, signal) == Done::NotYet {
                        return Ok(Done::NotYet);
                    }
                }
                self.interrupted.get_or_insert(Interrupted {
                    earliest,
                    from_inside: false,
                });
            }
            Action::Freeze(time) => {
                self.send(goat, Signal::SIGSTOP);
                thread::sleep(Duration::from_millis(time));
                self.send(goat, Signal::SIGCONT);
            }
            Action::KillAgent => return Ok(self.kill_agent(goat)),
            Action::KillSomebody => self.kill_somebody(goat),
            Action::KillGoat => {
                self.killed_goat = true;
                self.send(goat, Signal::SIGKILL);
            }
            Action::Probe => return self.probe(),
            Action::HoldPort => {
                let Some(address) = self.health_address() else {
                    return Ok(self.unless_silent());
                };
                for _ in 0..70 {
                    self.held.extend(TcpStream::connect_timeout(&address, PROBE));
                }
            }
        }
        Ok(Done::Yes)
    }

    /// A signal before its handlers are there would end a GOAT that is nobody's init, rightly.
    fn send(&self, goat: Pid, signal: Signal) -> Done {
        if !takes_signals(goat) {
            return Done::NotYet;
        }
        // It is not collected yet, or held by what is not, so the number is its own.
        let _ = process::kill_process(marked::of(goat), signal);
        Done::Yes
    }

    /// It says its number, as its namespace counts. Until then it has no children, which look the same.
    fn is_agent(&self, pid: Pid) -> bool {
        let said = self.place.marks().into_iter().find_map(|mark| {
            let number = mark.strip_prefix("pid.")?;
            number.parse::<Pid>().ok()
        });
        match said {
            Some(number) => marked::number_inside(pid) == Some(number),
            None => {
                let script = self.place.folder.join("agent").display().to_string();
                processes::command_line(pid).contains(&script)
            }
        }
    }

    fn kill_agent(&mut self, goat: Pid) -> Done {
        let agent = marked::children(goat).into_iter().find(|pid| self.is_agent(*pid));
        match agent {
            Some(agent) if marked::kill(agent, &self.place.mark) => {
                self.killed_agent = true;
                Done::Yes
            }
            _ => Done::NotYet,
        }
    }

    fn kill_somebody(&mut self, goat: Pid) {
        let all = marked::all(&self.place.mark);
        let chosen = usize::try_from(self.plan.number).unwrap_or_default() % all.len().max(1);
        let Some(pid) = all.get(chosen).copied().filter(|pid| *pid != goat) else {
            return;
        };
        let is_agent = self.is_agent(pid);
        if marked::kill(pid, &self.place.mark) {
            self.killed_agent |= is_agent;
        }
    }

    fn health_address(&self) -> Option<SocketAddr> {
        let log = self.place.log();
        let (_, rest) = log.split_once("app.address=")?;
        // A line may not be whole yet.
        let (address, _) = rest.split_once('\n')?;
        address.trim().parse().ok()
    }

    /// Where the log cannot be read while it runs, there is no address.
    fn unless_silent(&self) -> Done {
        match self.plan.output {
            Output::File => Done::NotYet,
            _ => Done::Yes,
        }
    }

    fn probe(&mut self) -> anyhow::Result<Done> {
        let Some(address) = self.health_address() else {
            return Ok(self.unless_silent());
        };
        let answer = ask(address);
        let is_live = answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200"));
        // It may have ended meanwhile.
        if !is_live && self.place.ended()?.is_none() && !self.killed_goat {
            thread::sleep(Duration::from_secs(1));
            if self.place.ended()?.is_none() {
                self.wrong.push(format!("it is not live: {answer:?}"));
            }
        }
        Ok(Done::Yes)
    }
}

/// Whether TERM is blocked, as proc_pid_status(5) shows it: GOAT reads its signals from a queue.
fn takes_signals(goat: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{goat}/status")).unwrap_or_default();
    // Before, it is what starts it.
    if !status.starts_with("Name:\torchestrator\n") {
        return false;
    }
    let blocked = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigBlk:")?.trim(), 16).ok());
    let bit = u32::try_from(script::number(Signal::SIGTERM) - 1).unwrap_or_default();
    blocked.is_some_and(|set| set & (1 << bit) != 0)
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
    stream.set_read_timeout(Some(PROBE))?;
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
