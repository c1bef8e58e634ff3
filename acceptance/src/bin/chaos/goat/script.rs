//! The misbehaving task agent, and the entrypoint beside it: shell scripts that say what they do before they do it.
//!
//! What they say are *marks*, lines of a file: what is known of a task without asking GOAT.

use sys::process::Signal;

use super::plan::{Deed, Ending, Entrypoint, OnTerm, Plan};

const MARK: &str = r#"mark() { echo "$1" >> "$PLACE/marks"; }"#;
/// Deaf to what can be ignored.
const DEAF: &str = "trap '' TERM HUP INT QUIT USR1 USR2; while :; do sleep 1; done";
const QUIET: &str = "</dev/null >/dev/null 2>&1";

/// The number of a signal.
#[expect(
    clippy::as_conversions,
    reason = "the only way from a C-like enum to its number"
)]
pub(super) fn number(signal: Signal) -> i32 {
    signal as i32
}

/// What the task agent writes last.
pub(super) fn last_words(plan: &Plan) -> String {
    format!("last words of task {}", plan.number)
}

/// The task agent of a plan.
pub(super) fn agent(plan: &Plan) -> String {
    let mut lines = vec![MARK.to_owned(), "ulimit -c 0".to_owned()];
    lines.extend(match plan.on_term {
        OnTerm::Dies => None,
        OnTerm::Ignores => Some("trap '' TERM".to_owned()),
        OnTerm::Exits(code) => Some(format!("trap 'mark ending.exit.{code}; exit {code}' TERM")),
        OnTerm::ExitsAtTheLast(code) => {
            // A shell needs some milliseconds until it is there.
            let last = (plan.delay + plan.grace).saturating_sub(plan.number % 8);
            Some(format!(
                "trap 'sleep {}; mark ending.exit.{code}; exit {code}' TERM",
                seconds(last)
            ))
        }
    });
    lines.push("mark pid.$$; mark began; mark \"instance.$GOATHERD_INSTANCE\"".to_owned());
    lines.push(r#"cat > "$PLACE/token" && mark token"#.to_owned());
    lines.extend(plan.deeds.iter().map(|deed| done(*deed)));
    let words = last_words(plan);
    lines.push(match plan.ending {
        Ending::Exit(code) => format!("echo '{words}' >&2; mark ending.exit.{code}; exit {code}"),
        Ending::Signal(signal) => {
            let number = number(signal);
            format!("echo '{words}' >&2; mark ending.signal.{number}; kill -{number} $$; sleep 600")
        }
        Ending::Waits => "while :; do sleep 0.02; done".to_owned(),
    });
    lines.join("\n") + "\n"
}

fn done(deed: Deed) -> String {
    match deed {
        Deed::Orphans(count) => format!(
            "i=0; while [ $i -lt {count} ]; do (sleep 0.0$((i % 3)) &); i=$((i+1)); done\n\
             mark orphans; until [ -e \"$PLACE/go\" ]; do sleep 0.01; done"
        ),
        Deed::Daemons(count) => {
            format!("i=0; while [ $i -lt {count} ]; do setsid sh -c \"{DEAF}\" {QUIET} & i=$((i+1)); done")
        }
        Deed::Stopped => format!("(sh -c 'kill -STOP $$' {QUIET} &)"),
        Deed::HoldStreams => "sleep 600 &".to_owned(),
        Deed::FloodStderr(bytes) => format!("head -c {bytes} /dev/zero | tr '\\0' e >&2"),
        Deed::FloodStdout(bytes) => format!("head -c {bytes} /dev/zero | tr '\\0' o"),
        Deed::Babbler => "(while :; do echo babble; sleep 0.001; done 2>/dev/null &)".to_owned(),
        Deed::FillDisk => "head -c 2m /dev/zero > \"$DISK/fill\" 2>/dev/null; mark filled".to_owned(),
        Deed::Signal(signal) => format!("kill -{} $PPID", number(signal)),
        Deed::Interrupt(signal) => format!("mark interrupting; kill -{} $PPID", number(signal)),
        Deed::Pause(milliseconds) => format!("sleep {}", seconds(milliseconds)),
    }
}

/// The entrypoint of a plan.
pub(super) fn entrypoint(entrypoint: Entrypoint) -> Vec<String> {
    match entrypoint {
        Entrypoint::Missing => vec!["/no/such/entrypoint".to_owned(), "-x".to_owned()],
        Entrypoint::Ends => words(["/bin/sh", "-c", "(sleep 600 &) ; exit 3"]),
        Entrypoint::Deaf => words(["/bin/sh", "-c", DEAF]),
    }
}

fn words(words: [&str; 3]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// As `sleep` takes it.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
