//! What a task may end as, from its plan and what was seen of it, and what GOAT must then have told.
//!
//! All of it is written down here once more, from docs/pid1.md, and nothing of GOAT's code is asked.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::course::Facts;
use super::plan::{Answer, Entrypoint, OnTerm, Output, Plan, Readiness, Start};
use super::runner_api::{FAIL, UNCLAIM};
use super::script;

/// An interruption longer before the end than this was taken by GOAT.
const TAKEN: Duration = Duration::from_secs(3);
const KILL: i32 = 9;
const TERM: i32 = 15;
const SUFFIX: &str = ": Check container logs for more details";

/// How a task can have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    EntrypointNotStarted,
    NotStarted,
    InterruptedBefore,
    Interrupted,
    Exited(i32),
    Signalled(i32),
}

/// All that is wrong with what was seen; empty where every promise was kept.
pub(super) fn wrong(plan: &Plan, facts: &Facts) -> Vec<String> {
    let mut wrong = facts.wrong.clone();
    if facts.killed_goat {
        // Whom it could still tell nobody knows. Its namespace is gone with it, as was checked.
        return wrong;
    }
    let ends = possible(plan, facts);
    match told(facts) {
        Err(error) => wrong.push(error),
        Ok(end) if !ends.contains(&end) => wrong.push(format!("it told {end:?}, and it was one of {ends:?}")),
        Ok(end) => {
            let mut check = Check {
                plan,
                facts,
                end,
                wrong,
            };
            check.calls();
            check.exit();
            check.words();
            check.disk();
            wrong = check.wrong;
        }
    }
    for call in facts.calls.iter().filter(|call| !call.alive.is_empty()) {
        wrong.push(format!(
            "{} was called while the task ran: {}",
            call.path, call.alive
        ));
    }
    wrong
}

/// What can have happened, by what the task said and what was done to it.
fn possible(plan: &Plan, facts: &Facts) -> Vec<End> {
    if plan.entrypoint == Some(Entrypoint::Missing) {
        return vec![End::EntrypointNotStarted];
    }
    let mut ends = Vec::new();
    let interrupted = facts.interrupted;
    let began = facts.marks.iter().any(|mark| mark == "began");
    if interrupted.is_some() && !began {
        ends.push(End::InterruptedBefore);
    }
    if plan.readiness == Some(Readiness::Never) {
        return ends;
    }
    if plan.start != Start::Runs {
        ends.push(End::NotStarted);
        return ends;
    }
    for mark in &facts.marks {
        if let Some(code) = mark.strip_prefix("ending.exit.") {
            ends.extend(code.parse().map(End::Exited));
        }
        if let Some(signal) = mark.strip_prefix("ending.signal.") {
            ends.extend(signal.parse().map(End::Signalled));
        }
    }
    if facts.killed_agent {
        ends.push(End::Signalled(KILL));
    }
    if let Some(interrupted) = interrupted {
        // A TERM before it is ready for it, or that it is never ready for.
        if plan.notify && (!began || plan.on_term == OnTerm::Dies) {
            ends.push(End::Signalled(TERM));
        }
        let patience = Duration::from_millis(plan.delay + plan.grace);
        if facts.lasted >= interrupted.earliest + patience {
            ends.push(End::Interrupted);
        }
    }
    ends
}

/// What the termination message says.
fn told(facts: &Facts) -> Result<End, String> {
    let text = String::from_utf8_lossy(&facts.termination).into_owned();
    if text.is_empty() {
        return Err("there is no termination message".to_owned());
    }
    if text.len() > 4096 {
        return Err(format!("the termination message has {} bytes", text.len()));
    }
    let message: Value = serde_json::from_str(&text)
        .map_err(|error| format!("the termination message is damaged: {error}: {text:?}"))?;
    let kind = message["kind"].as_str().unwrap_or_default();
    let code = message["exit_code"]
        .as_i64()
        .and_then(|code| i32::try_from(code).ok());
    let signal = message["signal"]
        .as_i64()
        .and_then(|signal| i32::try_from(signal).ok());
    match (kind, code, signal) {
        ("completed", Some(0), None) => Ok(End::Exited(0)),
        ("task_agent_ended", Some(code), None) if code != 0 => Ok(End::Exited(code)),
        ("task_agent_ended", None, Some(signal)) => Ok(End::Signalled(signal)),
        ("task_agent_not_started", None, None) => Ok(End::NotStarted),
        ("entrypoint_not_started", None, None) => Ok(End::EntrypointNotStarted),
        ("interrupted", None, None) => Ok(End::InterruptedBefore),
        // Killed by GOAT itself, when its time was over.
        ("interrupted", None, Some(KILL)) => Ok(End::Interrupted),
        _ => Err(format!("the termination message contradicts itself: {text}")),
    }
}

struct Check<'run> {
    plan: &'run Plan,
    facts: &'run Facts,
    end: End,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    fn is_failure(&self) -> bool {
        self.end != End::Exited(0)
    }

    /// Whether the task is given back first: nothing of it has run, or that is wanted anyway.
    fn is_given_back(&self) -> bool {
        self.is_failure()
            && (self.plan.unsafe_retries || matches!(self.end, End::NotStarted | End::InterruptedBefore))
    }

    /// Whether the runner API took it: by what it was planned to answer.
    fn is_taken(&self) -> bool {
        let takes = |answer: Answer| matches!(answer, Answer::Status(200 | 204 | 410));
        self.is_failure() && ((self.is_given_back() && takes(self.plan.unclaim)) || takes(self.plan.fail))
    }

    fn calls(&mut self) {
        let facts = self.facts;
        let answers = |path: &str| -> Vec<u16> {
            facts
                .calls
                .iter()
                .filter(|call| call.path == path)
                .filter_map(|call| call.answer)
                .collect()
        };
        let asked = |path: &str| facts.calls.iter().any(|call| call.path == path);
        let status = |answer: Answer| match answer {
            Answer::Status(status) => vec![status],
            Answer::Never => Vec::new(),
        };
        let (unclaim, fail) = (self.plan.unclaim, self.plan.fail);
        let gives_back = self.is_given_back();
        let fails = self.is_failure() && !(gives_back && matches!(unclaim, Answer::Status(200 | 204 | 410)));
        for (path, wanted, answer) in [(UNCLAIM, gives_back, unclaim), (FAIL, fails, fail)] {
            self.expect(asked(path) == wanted, || {
                format!("{path} was {}called", if wanted { "not " } else { "" })
            });
            if wanted {
                let got = answers(path);
                self.expect(got == status(answer), || {
                    format!("{path} was answered {got:?}, and once is enough")
                });
            }
        }
        let order: Vec<&str> = facts.calls.iter().map(|call| call.path.as_str()).collect();
        self.expect(
            order.is_sorted_by(|one, next| one == next || *one == UNCLAIM),
            || format!("the calls came in another order: {order:?}"),
        );
        let instance = facts.marks.iter().find_map(|mark| mark.strip_prefix("instance."));
        for call in &facts.calls {
            let sent = call.instance.as_deref().unwrap_or_default();
            // A task agent that never ran has not said which one it was given.
            let right = match instance {
                Some(instance) => sent == instance,
                None => sent.is_empty() != self.plan.share_instance,
            };
            self.expect(right, || {
                format!("a call has the instance {sent:?}, and the task agent {instance:?}")
            });
        }
    }

    fn exit(&mut self) {
        let code = self.facts.status.code();
        let expected: &[i32] = if !self.is_failure() || self.is_taken() {
            &[0]
        } else {
            match self.facts.interrupted {
                None => &[1],
                Some(interrupted)
                    if !interrupted.from_inside && self.facts.lasted > interrupted.earliest + TAKEN =>
                {
                    &[0]
                }
                // It may have come when all was decided.
                Some(_) => &[0, 1],
            }
        };
        self.expect(code.is_some_and(|code| expected.contains(&code)), || {
            format!("it ended with {}, and {expected:?} is right", self.facts.status)
        });
        let message: Value = serde_json::from_slice(&self.facts.termination).unwrap_or_default();
        let (reported, taken) = (message["reported"].as_bool(), self.is_taken());
        self.expect(reported == Some(taken), || {
            format!("the termination message says reported: {reported:?}, and it was {taken}")
        });
        let by_signal = !message["interrupted_by"].is_null();
        let may = self.facts.interrupted.is_some();
        let must = matches!(self.end, End::Interrupted | End::InterruptedBefore);
        self.expect(by_signal <= may && must <= by_signal, || {
            format!(
                "the termination message says interrupted_by: {}",
                message["interrupted_by"]
            )
        });
    }

    /// The words on the wire, which others match on.
    fn words(&mut self) {
        let script = script::entrypoint(Entrypoint::Missing).join(" ");
        let agent = "error while executing task agent: ";
        let ended = "task agent command exited with an unexpected error: ";
        let beginning = match self.end {
            End::EntrypointNotStarted => format!("error starting custom entrypoint [{script}]: "),
            End::NotStarted => format!("{agent}failed to start task agent command: "),
            End::InterruptedBefore => "error on shutdown: ".to_owned(),
            End::Interrupted => {
                "error on shutdown: task agent process is still running, which could interrupt \
                                 the task. Possible reasons include the Pod being evicted or deleted"
                    .to_owned()
            }
            End::Exited(code) => format!("{agent}{ended}exit status {code}"),
            End::Signalled(signal) => format!("{agent}{ended}signal: {}", signal_words(signal)),
        };
        let words = script::last_words(self.plan);
        // It says them right before it says that it ends.
        let said_last = self.facts.marks.iter().any(|mark| mark.starts_with("ending."))
            && self.plan.on_term != OnTerm::ExitsAtTheLast(4)
            && self.plan.on_term != OnTerm::Exits(3)
            && matches!(self.end, End::Exited(1..) | End::Signalled(_))
            && !self.facts.killed_agent;
        for call in self.facts.calls.clone().iter().filter(|call| call.path == FAIL) {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
            let allocation = format!("allocation-{}", self.plan.number);
            self.expect(body["allocation"] == *allocation, || {
                format!("a fail event of another: {body}")
            });
            let message = STANDARD
                .decode(body["message"].as_str().unwrap_or_default())
                .unwrap_or_default();
            let message = String::from_utf8_lossy(&message).into_owned();
            let right = message.starts_with(&beginning) && message.ends_with(SUFFIX);
            self.expect(right, || {
                format!("a fail event says {message:?}, and not {beginning:?}")
            });
            self.expect(!said_last || message.contains(&words), || {
                format!("a fail event has not the task agent's last words: {message:?}")
            });
        }
        for call in self
            .facts
            .calls
            .clone()
            .iter()
            .filter(|call| call.path == UNCLAIM)
        {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
            let task = format!("task-{}", self.plan.number);
            self.expect(body["task_id"] == *task, || {
                format!("an unclaim of another: {}", body["task_id"])
            });
        }
        let in_log = self.facts.log.contains(&words);
        // A full disk and a stuck reader may keep less.
        let kept = matches!(self.plan.output, Output::File | Output::Pipe(_));
        self.expect(!(said_last && kept) || in_log, || {
            "the task agent's last words are not in the log".to_owned()
        });
    }

    /// Nothing is left on the disk but what belongs there.
    fn disk(&mut self) {
        let strange: Vec<&String> = self
            .facts
            .on_disk
            .iter()
            .filter(|name| !["termination", "log", "fill"].contains(&name.as_str()))
            .collect();
        if !strange.is_empty() {
            self.wrong.push(format!("it left files: {strange:?}"));
        }
    }
}

/// As Go says it.
fn signal_words(signal: i32) -> &'static str {
    match signal {
        1 => "hangup",
        6 => "aborted",
        9 => "killed",
        11 => "segmentation fault",
        15 => "terminated",
        _ => "a signal that no plan has",
    }
}
