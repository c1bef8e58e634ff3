//! What can go wrong with a task, and the words for it.
//!
//! The words are part of the wire: users and other tools match on them.

use api::goat::TerminationKind;
use sys::process::{End, Reaped, Signal};

use crate::excerpt::Excerpt;
use crate::memory::OutOfMemory;

/// A task that did not go well, as far as this process is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The custom entrypoint cannot be started.
    EntrypointNotStarted { argv: Vec<String>, cause: String },
    /// The readiness file did not come.
    NotReady,
    /// The task agent cannot be started.
    AgentNotStarted { cause: String },
    /// The user that the task agent is to run as does not exist.
    UserRefused { cause: String },
    /// The task agent ended otherwise than with 0.
    AgentEnded { reaped: Reaped, stderr: Excerpt },
    /// TERM or INT came before the task agent was started.
    InterruptedBefore,
    /// TERM or INT came, and the task agent did not end in time.
    InterruptedWhileRunning,
}

const SUFFIX: &[u8] = b": Check container logs for more details";

impl Failure {
    /// What the end of the task agent means; nothing where it ended well. What it wrote is added once it was read to
    /// its end.
    pub(crate) fn of_end(reaped: Reaped) -> Option<Self> {
        (reaped.end != End::Exited(0)).then(|| Self::AgentEnded {
            reaped,
            stderr: Excerpt::default(),
        })
    }

    /// Whether nothing of the task has run, so that another may take it.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::NotReady | Self::AgentNotStarted { .. } | Self::InterruptedBefore => true,
            Self::EntrypointNotStarted { .. }
            | Self::UserRefused { .. }
            | Self::AgentEnded { .. }
            | Self::InterruptedWhileRunning => false,
        }
    }

    pub(crate) fn kind(&self) -> TerminationKind {
        match self {
            Self::EntrypointNotStarted { .. } => TerminationKind::EntrypointNotStarted,
            Self::NotReady => TerminationKind::NotReady,
            Self::AgentNotStarted { .. } | Self::UserRefused { .. } => TerminationKind::TaskAgentNotStarted,
            Self::AgentEnded { .. } => TerminationKind::TaskAgentEnded,
            Self::InterruptedBefore | Self::InterruptedWhileRunning => TerminationKind::Interrupted,
        }
    }

    /// The message for the runner API. Bytes: what the task agent wrote may be cut in the middle of a letter.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = self.words().into_bytes();
        if let Self::AgentEnded { stderr, .. } = self
            && !stderr.is_empty()
        {
            message.extend_from_slice(b": ");
            message.extend_from_slice(&stderr.render());
        }
        message.extend_from_slice(SUFFIX);
        message
    }

    fn words(&self) -> String {
        match self {
            Self::EntrypointNotStarted { argv, cause } => {
                format!("error starting custom entrypoint [{}]: {cause}", argv.join(" "))
            }
            Self::NotReady => "error waiting for service containers to become ready: \
                               context deadline exceeded"
                .to_owned(),
            Self::AgentNotStarted { cause } | Self::UserRefused { cause } => {
                format!("error while executing task agent: failed to start task agent command: {cause}")
            }
            Self::AgentEnded { reaped, .. } => format!(
                "error while executing task agent: task agent command exited with an unexpected error: {}",
                end_words(reaped.end)
            ),
            Self::InterruptedBefore => {
                "error on shutdown: interrupted before the task agent was started".to_owned()
            }
            Self::InterruptedWhileRunning => "error on shutdown: task agent process is still running, \
                                              which could interrupt the task. Possible reasons include \
                                              the Pod being evicted or deleted"
                .to_owned(),
        }
    }
}

/// What became of a task once everything was killed: the task agent may have ended by itself in the moment in which
/// its time was over. Then that is how the task ended, and after an exit with 0 its terminal record is acknowledged.
pub(crate) fn settle(failure: Option<Failure>, agent: Option<Reaped>) -> Option<Failure> {
    match (failure, agent) {
        (Some(Failure::InterruptedWhileRunning), Some(reaped)) if !is_killed(reaped.end) => {
            Failure::of_end(reaped)
        }
        (failure, _) => failure,
    }
}

/// How a process ended, as Go says it.
pub(crate) fn end_words(end: End) -> String {
    match end {
        End::Exited(code) => format!("exit status {code}"),
        End::Signalled { signal, core_dumped } => {
            let core = if core_dumped { " (core dumped)" } else { "" };
            format!("signal: {}{core}", signal_words(signal))
        }
    }
}

/// What an end means, for people who do not know the numbers by heart; none where it says nothing more.
pub(crate) fn explanation(end: End, out_of_memory: Option<&OutOfMemory>) -> Option<String> {
    let killed = |signal: i32| {
        let name =
            Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.to_string());
        match out_of_memory.filter(|_| signal == KILL) {
            Some(memory) => format!("ended by {name}, {memory}"),
            None => format!("ended by {name}"),
        }
    };
    match end {
        End::Signalled { signal, .. } => Some(killed(signal)),
        End::Exited(126) => Some("126 says that a command was found and could not be executed".to_owned()),
        End::Exited(127) => Some("127 says that a command was not found".to_owned()),
        // What a shell makes of a command that a signal ended.
        End::Exited(code @ 129..=192) => {
            Some(format!("{code} says that a command was {}", killed(code - 128)))
        }
        End::Exited(_) => None,
    }
}

/// The number of KILL.
const KILL: i32 = 9;

/// Whether KILL ended it.
pub(crate) fn is_killed(end: End) -> bool {
    matches!(end, End::Signalled { signal: KILL, .. })
}

/// Whether the end looks like one by KILL, which is how the OOM killer ends a process.
pub(crate) fn looks_killed(end: End) -> bool {
    is_killed(end) || end == End::Exited(128 + KILL)
}

/// The signals that end processes in practice. The rest go by number, as in Go.
fn signal_words(signal: i32) -> String {
    let words = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        16 => "stack fault",
        24 => "CPU time limit exceeded",
        25 => "file size limit exceeded",
        26 => "virtual timer expired",
        27 => "profiling timer expired",
        29 => "I/O possible",
        30 => "power failure",
        31 => "bad system call",
        other => return format!("signal {other}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use sys::process::{Pid, Usage};

    use super::*;

    fn reaped(end: End) -> Reaped {
        Reaped {
            pid: Pid::from_raw(2),
            end,
            usage: Usage::default(),
        }
    }

    fn ended(end: End, stderr: &[u8]) -> Failure {
        let mut excerpt = Excerpt::default();
        excerpt.push(stderr);
        Failure::AgentEnded {
            reaped: reaped(end),
            stderr: excerpt,
        }
    }

    #[test]
    fn who_ends_in_the_moment_of_the_kill_has_ended_by_itself() {
        let killed = End::Signalled {
            signal: KILL,
            core_dumped: false,
        };
        let after = |end| settle(Some(Failure::InterruptedWhileRunning), Some(reaped(end)));

        assert_eq!(after(End::Exited(0)), None);
        assert_eq!(after(End::Exited(3)), Some(ended(End::Exited(3), b"")));
        assert_eq!(after(killed), Some(Failure::InterruptedWhileRunning));
    }

    #[test]
    fn an_end_is_explained_where_its_number_says_more() {
        for (end, words) in [
            (End::Exited(1), None),
            (End::Exited(127), Some("127 says that a command was not found")),
            (
                End::Exited(139),
                Some("139 says that a command was ended by SIGSEGV"),
            ),
            (
                End::Signalled {
                    signal: 9,
                    core_dumped: false,
                },
                Some("ended by SIGKILL"),
            ),
            (
                End::Signalled {
                    signal: 40,
                    core_dumped: false,
                },
                Some("ended by signal 40"),
            ),
        ] {
            assert_eq!(explanation(end, None).as_deref(), words);
        }
    }

    #[test]
    fn the_words_are_those_that_others_match_on() {
        let suffix = ": Check container logs for more details";
        let agent = "error while executing task agent: ";
        for (failure, words) in [
            (
                ended(End::Exited(7), b""),
                format!("{agent}task agent command exited with an unexpected error: exit status 7"),
            ),
            (
                ended(End::Exited(7), b"no luck\n"),
                format!(
                    "{agent}task agent command exited with an unexpected error: exit status 7: no luck\n"
                ),
            ),
            (
                ended(
                    End::Signalled {
                        signal: 9,
                        core_dumped: false,
                    },
                    b"",
                ),
                format!("{agent}task agent command exited with an unexpected error: signal: killed"),
            ),
            (
                Failure::AgentNotStarted { cause: "why".into() },
                format!("{agent}failed to start task agent command: why"),
            ),
            (
                Failure::InterruptedWhileRunning,
                "error on shutdown: task agent process is still running, which could interrupt the task. \
                 Possible reasons include the Pod being evicted or deleted"
                    .into(),
            ),
            (
                Failure::EntrypointNotStarted {
                    argv: vec!["/init".into(), "-x".into()],
                    cause: "why".into(),
                },
                "error starting custom entrypoint [/init -x]: why".into(),
            ),
            (
                Failure::NotReady,
                "error waiting for service containers to become ready: context deadline exceeded".into(),
            ),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&failure.message()),
                format!("{words}{suffix}")
            );
        }
    }

    #[test]
    fn what_has_not_run_may_run_elsewhere() {
        let cause = || "why".to_owned();
        for (failure, retryable) in [
            (Failure::NotReady, true),
            (Failure::AgentNotStarted { cause: cause() }, true),
            (Failure::InterruptedBefore, true),
            (Failure::InterruptedWhileRunning, false),
            (Failure::UserRefused { cause: cause() }, false),
            (ended(End::Exited(7), b""), false),
            (
                Failure::EntrypointNotStarted {
                    argv: Vec::new(),
                    cause: cause(),
                },
                false,
            ),
        ] {
            assert_eq!(failure.is_retryable(), retryable, "{failure:?}");
        }
    }
}
