//! The task agent's decisions, as pure functions: which step runs, what a step's end means, how the job ends.

use std::time::Duration;

use api::operation::When;
use api::{Cause, Millis, Outcome};
use sys::process::End;

use crate::control::Stop;

/// Whether a step runs, given whether one before it failed.
pub(crate) fn runs(when: When, failed: bool) -> bool {
    match when {
        When::OnSuccess => !failed,
        When::Always => true,
        When::OnFail => failed,
    }
}

/// Whether no further step may run after a step with this cause: the infrastructure failed, so the job's
/// outcome is settled, and a step that ran now could only make running it again unsafe.
pub(crate) fn ends_job(cause: &Cause) -> bool {
    cause.outcome() == Outcome::InfraFailed
}

/// An exit code and a signal, as the wire has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<i32>,
}

impl Ending {
    pub(crate) const SUCCESS: Self = Self {
        exit_code: 0,
        signal: None,
    };
    /// The end of a step whose process could not be collected.
    pub(crate) const KILLED: Self = Self {
        exit_code: 137,
        signal: Some(9),
    };

    pub(crate) const fn code(exit_code: i32) -> Self {
        Self {
            exit_code,
            signal: None,
        }
    }
}

impl From<End> for Ending {
    fn from(end: End) -> Self {
        match end {
            End::Exited(code) => Self::code(code),
            End::Signalled { signal, .. } => Self {
                exit_code: 128 + signal,
                signal: Some(signal),
            },
        }
    }
}

/// Signals that hardly any program answers with an exit code of its own, so that 128 + n from a shell means
/// that one of them ended its command. 129 (HUP) and 130 (INT) are left out: git and others exit with them.
const TELLING: [i32; 9] = [4, 6, 7, 8, 9, 11, 13, 15, 31];

/// Why a step whose shell ended like this failed; none where it did not. `oom`: the kernel ended a process of
/// the container meanwhile for want of memory.
pub(crate) fn cause_of(ending: Ending, oom: Option<Cause>) -> Option<Cause> {
    let by_shell = ending.exit_code - 128;
    match ending {
        Ending { exit_code: 0, .. } => None,
        _ if oom.is_some() => oom,
        Ending { signal: Some(n), .. } => Some(Cause::Signal { n }),
        _ if TELLING.contains(&by_shell) => Some(Cause::Signal { n: by_shell }),
        Ending { exit_code, .. } => Some(Cause::Exit { code: exit_code }),
    }
}

/// What is known when the steps are over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What stopped them before they were through.
    pub(crate) stop: Option<Stop>,
    /// The step that ran then.
    pub(crate) running: Option<String>,
    /// Why the first step that failed did.
    pub(crate) failure: Option<Cause>,
    /// The job's limit.
    pub(crate) limit: Millis,
}

/// How the job ends. A stop outweighs a failure before it; [`Stop::Gone`] has no record at all.
pub(crate) fn verdict(facts: Facts) -> Option<(Outcome, Option<Cause>)> {
    let cause = match facts.stop {
        None => facts.failure,
        Some(Stop::Gone) => return None,
        Some(Stop::Cancelled { by, why }) => Some(Cause::Cancelled { by, why }),
        Some(Stop::TimeLimit) => Some(Cause::Timeout {
            step: facts.running,
            limit: facts.limit,
        }),
        Some(Stop::ContactLost { seconds, .. }) => Some(Cause::ContactLost { seconds }),
        Some(Stop::Terminated) => Some(Cause::Deleted {
            by: "unknown".to_owned(),
        }),
        Some(Stop::Internal { message }) => Some(Cause::Internal { message }),
    };
    let outcome = cause.as_ref().map_or(Outcome::Succeeded, Cause::outcome);
    Some((outcome, cause))
}

/// How long after a stop the steps may take to end by themselves.
pub(crate) fn patience(stop: &Stop, grace: Duration) -> Duration {
    match stop {
        Stop::Gone => Duration::ZERO,
        // Whoever sent TERM sends KILL after the grace; the terminal record has to be out before.
        Stop::Terminated => grace / 2,
        Stop::ContactLost { patience, .. } => grace.min(*patience),
        Stop::Cancelled { .. } | Stop::TimeLimit | Stop::Internal { .. } => grace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_step_runs() {
        for (when, after_success, after_failure) in [
            (When::OnSuccess, true, false),
            (When::Always, true, true),
            (When::OnFail, false, true),
        ] {
            assert_eq!(runs(when, false), after_success, "{when:?}");
            assert_eq!(runs(when, true), after_failure, "{when:?}");
        }
    }

    fn signalled(signal: i32) -> Ending {
        Ending::from(End::Signalled {
            signal,
            core_dumped: false,
        })
    }

    #[test]
    fn what_the_end_of_a_shell_means() {
        for (ending, cause) in [
            (Ending::code(0), None),
            (Ending::code(3), Some(Cause::Exit { code: 3 })),
            (Ending::code(127), Some(Cause::Exit { code: 127 })),
            (Ending::code(129), Some(Cause::Exit { code: 129 })),
            (Ending::code(137), Some(Cause::Signal { n: 9 })),
            (Ending::code(139), Some(Cause::Signal { n: 11 })),
            (Ending::code(255), Some(Cause::Exit { code: 255 })),
            (signalled(9), Some(Cause::Signal { n: 9 })),
            (signalled(1), Some(Cause::Signal { n: 1 })),
        ] {
            assert_eq!(cause_of(ending, None), cause, "{ending:?}");
        }
        assert_eq!(signalled(9).exit_code, 137);
    }

    #[test]
    fn want_of_memory_explains_a_failure_but_makes_none() {
        let oom = Cause::Oom {
            container: "job".to_owned(),
            limit: None,
            peak: None,
        };

        assert_eq!(cause_of(Ending::code(1), Some(oom.clone())), Some(oom.clone()));
        assert_eq!(cause_of(Ending::code(0), Some(oom)), None);
    }

    #[test]
    fn how_a_job_ends() {
        let exit = Cause::Exit { code: 1 };
        let failed = || Facts {
            failure: Some(exit.clone()),
            running: Some("test".to_owned()),
            limit: Millis::seconds(9),
            ..Facts::default()
        };
        let stopped = |stop| {
            verdict(Facts {
                stop: Some(stop),
                ..failed()
            })
        };

        assert_eq!(verdict(Facts::default()), Some((Outcome::Succeeded, None)));
        assert_eq!(verdict(failed()), Some((Outcome::Failed, Some(exit.clone()))));
        assert_eq!(
            stopped(Stop::Cancelled {
                by: "ada".to_owned(),
                why: String::new()
            })
            .map(|(outcome, _)| outcome),
            Some(Outcome::Cancelled)
        );
        assert_eq!(
            stopped(Stop::TimeLimit),
            Some((
                Outcome::TimedOut,
                Some(Cause::Timeout {
                    step: Some("test".to_owned()),
                    limit: Millis::seconds(9)
                })
            ))
        );
        assert_eq!(
            stopped(Stop::Terminated),
            Some((
                Outcome::InfraFailed,
                Some(Cause::Deleted {
                    by: "unknown".to_owned()
                })
            ))
        );
        assert_eq!(
            stopped(Stop::ContactLost {
                seconds: 270,
                patience: Duration::ZERO
            }),
            Some((Outcome::InfraFailed, Some(Cause::ContactLost { seconds: 270 })))
        );
        assert_eq!(stopped(Stop::Gone), None);
    }

    #[test]
    fn steps_are_never_given_longer_than_what_is_left() {
        let grace = Duration::from_secs(10);
        let lost = |seconds| Stop::ContactLost {
            seconds: 1,
            patience: Duration::from_secs(seconds),
        };

        assert_eq!(patience(&Stop::Gone, grace), Duration::ZERO);
        assert_eq!(patience(&Stop::Terminated, grace), Duration::from_secs(5));
        assert_eq!(patience(&lost(3), grace), Duration::from_secs(3));
        assert_eq!(patience(&lost(15), grace), grace);
        assert_eq!(patience(&Stop::TimeLimit, grace), grace);
    }
}
