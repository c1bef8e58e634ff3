//! What it can be told, and how that is written.

use std::path::PathBuf;
use std::time::Duration;

use sys::process::Signal;

/// What is wrong with the words, or with doing what they say.
pub(crate) type Error = Box<dyn std::error::Error>;

/// One thing to do. The names in the comments are the words; values of words inside of words hold no comma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// `record=FILE`: reads standard input to its end, and writes down as JSON what this process was
    /// given. With `-` for a file to standard output.
    Record(PathBuf),
    /// `write=FILE`: makes a file with one line, at once whole. The readiness file, for one.
    Write(PathBuf),
    /// `append=FILE`: adds a line.
    Append(PathBuf),
    /// `await=FILE`: waits until the file is there.
    Await(PathBuf),
    /// `say=TEXT`: a line to standard output.
    Say(String),
    /// `complain=TEXT`: a line to standard error.
    Complain(String),
    /// `flood=BYTES`: so much to standard error.
    Flood(u64),
    /// `flood-output=BYTES`: so much to standard output.
    FloodOutput(u64),
    /// `close=stdin|stdout|stderr`.
    Close(StandardStream),
    /// `ignore=SIGNAL`, such as `ignore=TERM`: from the beginning.
    Ignore(Signal),
    /// `on=SIGNAL,ACT,...`: from the beginning, while it waits, each time that the signal comes.
    On(Signal, Vec<Act>),
    /// `session`: leaves its process group for a session of its own.
    Session,
    /// `child=ACT,...`: a child that does this, and is left alone.
    Child(Vec<String>),
    /// `orphan=ACT,...`: a grandchild that does this, whose parent ends at once.
    Orphan(Vec<String>),
    /// `orphans=N`: so many that end at once.
    Orphans(u32),
    /// `serve=ADDRESS`: answers `GET /ready` there, with 503 until `ready`.
    Serve(String),
    /// `ready`: `/ready` is 200 from now on.
    Ready,
    /// `allocate=BYTES`: takes so much memory, and uses it.
    Allocate(u64),
    /// `oom-score=N`: asks the kernel's OOM killer for another rank.
    OomScore(i32),
    /// `signal=SIGNAL:PID`, with `self` or `parent` for a pid.
    Signal(Signal, Target),
    /// `sleep` or `sleep=MILLISECONDS`: without a number for ever.
    Sleep(Option<Duration>),
    /// `exit=N`.
    Exit(u8),
}

/// A stream that can be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandardStream {
    Input,
    Output,
    Error,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Itself,
    Parent,
    Process(i32),
}

/// Reads words. `script=FILE` stands for the lines of a file, in which values may hold spaces.
pub(crate) fn parse_all(words: impl IntoIterator<Item = String>) -> Result<Vec<Act>, Error> {
    let mut acts = Vec::new();
    for word in words {
        match word.strip_prefix("script=") {
            Some(file) => {
                let text = std::fs::read_to_string(file)?;
                for line in text.lines().filter(|line| !line.is_empty()) {
                    acts.push(parse(line)?);
                }
            }
            None => acts.push(parse(&word)?),
        }
    }
    Ok(acts)
}

fn parse(word: &str) -> Result<Act, Error> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    Ok(match name {
        "record" => Act::Record(value.into()),
        "write" => Act::Write(value.into()),
        "append" => Act::Append(value.into()),
        "await" => Act::Await(value.into()),
        "say" => Act::Say(value.to_owned()),
        "complain" => Act::Complain(value.to_owned()),
        "flood" => Act::Flood(value.parse()?),
        "flood-output" => Act::FloodOutput(value.parse()?),
        "close" => Act::Close(match value {
            "stdin" => StandardStream::Input,
            "stdout" => StandardStream::Output,
            "stderr" => StandardStream::Error,
            other => return Err(format!("`{other}` is no standard stream").into()),
        }),
        "ignore" => Act::Ignore(signal(value)?),
        "on" => {
            let (name, acts) = value.split_once(',').ok_or("`on` needs a signal and an act")?;
            Act::On(signal(name)?, parse_all(split(acts))?)
        }
        "session" => Act::Session,
        "child" => Act::Child(split(value)),
        "orphan" => Act::Orphan(split(value)),
        "orphans" => Act::Orphans(value.parse()?),
        "serve" => Act::Serve(value.to_owned()),
        "ready" => Act::Ready,
        "allocate" => Act::Allocate(value.parse()?),
        "oom-score" => Act::OomScore(value.parse()?),
        "signal" => {
            let (name, target) = value
                .split_once(':')
                .ok_or("`signal` needs a signal and a process")?;
            let target = match target {
                "self" => Target::Itself,
                "parent" => Target::Parent,
                pid => Target::Process(pid.parse()?),
            };
            Act::Signal(signal(name)?, target)
        }
        "sleep" if value.is_empty() => Act::Sleep(None),
        "sleep" => Act::Sleep(Some(Duration::from_millis(value.parse()?))),
        "exit" => Act::Exit(value.parse()?),
        other => return Err(format!("there is no act `{other}`").into()),
    })
}

fn split(words: &str) -> Vec<String> {
    words.split(',').map(str::to_owned).collect()
}

fn signal(name: &str) -> Result<Signal, Error> {
    format!("SIG{name}")
        .parse()
        .map_err(|_| format!("there is no signal `{name}`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_hold_acts() {
        let acts = parse_all(["on=TERM,append=/heard,exit=3".to_owned()]).expect("it makes sense");

        let inner = vec![Act::Append("/heard".into()), Act::Exit(3)];
        assert_eq!(acts, [Act::On(Signal::SIGTERM, inner)]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for word in ["dance", "exit=256", "ignore=LOUDNESS", "close=curtain", "on=TERM"] {
            assert!(parse_all([word.to_owned()]).is_err(), "{word}");
        }
    }
}
