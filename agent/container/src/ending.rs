//! What the end of a place's GOAT means.

use api::Cause;
use api::goat::{TerminationKind, TerminationMessage};
use driver::Exit;

/// How many lines of a place's log are logged.
const LAST_LINES: usize = 10;
/// How many characters of each.
const LONGEST_LINE: usize = 300;
/// The longest text that tells who sent a signal, in characters.
const LONGEST_SENDER: usize = 200;

/// The cause to tell the server; none where the task agent's terminal record was acknowledged, so that
/// nothing is left to tell.
///
/// It is the agent's best knowledge: the server takes it only while the attempt is open or in the window of
/// an infrastructure failure.
pub(crate) fn cause(exit: &Exit) -> Option<Cause> {
    if let Some(signal) = exit.signal {
        // GOAT may have left its last word before somebody killed it, but it did not end by itself.
        return Some(Cause::SupervisorLost { signal: Some(signal) });
    }
    match &exit.termination {
        Some(message) => told(message),
        None => Some(Cause::SupervisorLost { signal: None }),
    }
}

fn told(message: &TerminationMessage) -> Option<Cause> {
    let text = || message.message.clone();
    match message.kind {
        // Its task agent was told of a TERM, but not who sent it.
        TerminationKind::Completed => interrupted_by(message).map(|by| Cause::Deleted { by }),
        TerminationKind::TaskAgentEnded => Some(Cause::TaskAgentLost {
            signal: message.signal,
        }),
        TerminationKind::TaskAgentNotStarted | TerminationKind::NotReady => Some(Cause::Start {
            message: text(),
            certain: false,
        }),
        // The config names the entrypoint, so it fails the same way everywhere.
        TerminationKind::EntrypointNotStarted => Some(Cause::Start {
            message: text(),
            certain: true,
        }),
        TerminationKind::Interrupted => Some(Cause::Deleted {
            by: interrupted_by(message).unwrap_or_else(|| "unknown".to_owned()),
        }),
        TerminationKind::Configuration => Some(Cause::Internal { message: text() }),
    }
}

/// The last lines of a place's log, as one may print them: not many, not long, and without control characters.
pub(crate) fn last_lines(log: &str) -> Vec<String> {
    let plain = |line: &str| -> String {
        let mut characters = line.chars().filter(|found| !found.is_control());
        let mut plain: String = characters.by_ref().take(LONGEST_LINE).collect();
        if characters.next().is_some() {
            plain.push('…');
        }
        plain
    };
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.iter().skip(first).map(|line| plain(line)).collect()
}

/// Who asked GOAT to end. The message lies where the task may write, so it is one short line at most.
fn interrupted_by(message: &TerminationMessage) -> Option<String> {
    let by = message.interrupted_by.as_deref()?;
    let plain = by.chars().filter(|found| !found.is_control());
    Some(plain.take(LONGEST_SENDER).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: Option<i32>, signal: Option<i32>, termination: Option<TerminationMessage>) -> Exit {
        Exit {
            code,
            signal,
            termination,
            log_tail: String::new(),
        }
    }

    fn message(kind: TerminationKind) -> TerminationMessage {
        TerminationMessage {
            kind,
            message: "why".to_owned(),
            exit_code: None,
            signal: None,
            interrupted_by: None,
            oom: false,
            reported: false,
            duration_ms: 0,
            max_rss_kib: 0,
        }
    }

    #[test]
    fn a_completed_task_leaves_nothing_to_tell() {
        assert_eq!(
            cause(&exit(Some(0), None, Some(message(TerminationKind::Completed)))),
            None
        );
    }

    #[test]
    fn a_goat_that_exits_well_without_a_word_is_not_taken_for_a_completed_task() {
        assert_eq!(
            cause(&exit(Some(0), None, None)),
            Some(Cause::SupervisorLost { signal: None })
        );
    }

    #[test]
    fn a_killed_goat_is_told_with_the_signal() {
        let killed = exit(None, Some(9), None);

        assert_eq!(cause(&killed), Some(Cause::SupervisorLost { signal: Some(9) }));
    }

    #[test]
    fn a_killed_task_agent_is_told_with_the_signal() {
        let ended = TerminationMessage {
            signal: Some(9),
            ..message(TerminationKind::TaskAgentEnded)
        };

        assert_eq!(
            cause(&exit(Some(0), None, Some(ended))),
            Some(Cause::TaskAgentLost { signal: Some(9) })
        );
    }

    #[test]
    fn what_never_ran_says_why() {
        for (kind, certain) in [
            (TerminationKind::TaskAgentNotStarted, false),
            (TerminationKind::NotReady, false),
            (TerminationKind::EntrypointNotStarted, true),
        ] {
            let told = cause(&exit(Some(0), None, Some(message(kind))));

            assert_eq!(
                told,
                Some(Cause::Start {
                    message: "why".to_owned(),
                    certain
                }),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn an_interruption_is_a_deletion_by_somebody_unknown() {
        let told = cause(&exit(Some(0), None, Some(message(TerminationKind::Interrupted))));

        assert_eq!(
            told,
            Some(Cause::Deleted {
                by: "unknown".to_owned()
            })
        );
    }

    #[test]
    fn an_interruption_is_told_with_its_sender_also_where_the_task_agent_ended_well() {
        for kind in [TerminationKind::Interrupted, TerminationKind::Completed] {
            let by = format!("SIGTERM from \u{1b}\n{}", "x".repeat(300));
            let interrupted = TerminationMessage {
                interrupted_by: Some(by),
                ..message(kind)
            };

            let Some(Cause::Deleted { by }) = cause(&exit(Some(0), None, Some(interrupted))) else {
                panic!("{kind:?}")
            };

            assert!(by.starts_with("SIGTERM from xxx"), "{by}");
            assert_eq!(by.len(), LONGEST_SENDER);
        }
    }

    #[test]
    fn of_a_log_its_last_lines_are_printed_each_as_it_is() {
        let mut log: String = (0..50)
            .map(|line| format!("line {line} \"quoted\"\n\n"))
            .collect();
        log.push_str(&format!("\u{1b}[31m{}\n", "x".repeat(1000)));

        let lines = last_lines(&log);

        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines[0], "line 41 \"quoted\"");
        assert_eq!(lines[9], format!("[31m{}…", "x".repeat(LONGEST_LINE - 4)));
        assert!(last_lines("").is_empty());
    }
}
