//! The secrets of repositories: read for each task that may have them, from the operator's file or command, and
//! kept nowhere. No error and no log line holds anything of what was read, but names.

mod command;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::{AttemptRef, Millis, Secret};
use store::Scope;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{inherited, read_private};
use crate::variables::{self, check_secret};

/// How many sources are read at once.
const AT_ONCE: usize = 8;
/// The most that all secrets of a repository may have together, in bytes: a task agent looks for each of them,
/// in many forms, in all that the task writes.
const LARGEST: usize = 64 * 1024;

/// Secrets by name.
pub(crate) type Values = BTreeMap<String, Secret>;

/// Where a repository's secrets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretsSource {
    /// A file with one `NAME=VALUE` a line.
    File(PathBuf),
    /// A program with its arguments, which writes the same, or a JSON object.
    Command(Vec<String>),
}

/// How long secrets may take.
#[derive(Debug, Clone)]
pub struct SecretsSettings {
    /// The longest that one command may run.
    pub timeout: Millis,
    /// How long a task that cannot have its secrets asks again before its attempt fails.
    pub patience: Millis,
}

impl Default for SecretsSettings {
    fn default() -> Self {
        Self {
            timeout: Millis::seconds(10),
            patience: Millis::seconds(120),
        }
    }
}

/// Why there are no secrets: a sentence for people, without any value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SecretsError(pub(crate) String);

impl SecretsSource {
    /// What can be known to be wrong before a task asks.
    pub(crate) fn check(&self) -> Result<(), SecretsError> {
        match self {
            Self::File(path) => from_file(path).map(drop),
            Self::Command(words) if words.first().is_none_or(String::is_empty) => Err(SecretsError(
                "`secrets_command` is a program with its arguments, such as [\"vault-ci\", \"read\"]"
                    .to_owned(),
            )),
            Self::Command(_) => Ok(()),
        }
    }
}

/// Whoever reads them.
#[derive(Debug)]
pub(crate) struct Secrets {
    settings: SecretsSettings,
    environment: Vec<(&'static str, OsString)>,
    turns: Semaphore,
    /// Since when attempts wait for their secrets.
    waiting: Mutex<HashMap<AttemptRef, Instant>>,
}

/// Whether an attempt that cannot have its secrets may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It may.
    Left,
    /// It has asked for long enough.
    Over,
}

impl Secrets {
    pub(crate) fn new(settings: SecretsSettings) -> Self {
        Self {
            settings,
            environment: inherited(),
            turns: Semaphore::new(AT_ONCE),
            waiting: Mutex::default(),
        }
    }

    /// Reads a source for a job.
    pub(crate) async fn read(&self, source: &SecretsSource, scope: &Scope) -> Result<Values, SecretsError> {
        let limit = self.settings.timeout.duration();
        let reading = async {
            let _turn = self.turns.acquire().await;
            match source {
                SecretsSource::File(path) => {
                    let path = path.clone();
                    let read = tokio::task::spawn_blocking(move || from_file(&path)).await;
                    read.unwrap_or_else(|_| Err(SecretsError("the file was not read to its end".to_owned())))
                }
                SecretsSource::Command(words) => {
                    let output = command::output(words, &self.environment, scope).await?;
                    values(&output).map_err(|why| SecretsError(format!("what `{}` wrote: {why}", words[0])))
                }
            }
        };
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| {
            let limit = limit.as_secs_f32();
            Err(SecretsError(format!("they were not there within {limit} s")))
        })
    }

    /// Notes whether an attempt got its secrets.
    pub(crate) fn note(&self, attempt: &AttemptRef, got: bool) -> Patience {
        let now = Instant::now();
        let patience = self.settings.patience.duration();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if got {
            waiting.remove(attempt);
            return Patience::Left;
        }
        // What asked last long ago has ended otherwise.
        let forget = patience * 2 + Duration::from_secs(60);
        waiting.retain(|_, since| now.duration_since(*since) < forget);
        let since = *waiting.entry(attempt.clone()).or_insert(now);
        if now.duration_since(since) < patience {
            return Patience::Left;
        }
        waiting.remove(attempt);
        Patience::Over
    }
}

fn from_file(path: &Path) -> Result<Values, SecretsError> {
    let text = read_private(path, LARGEST * 2).map_err(SecretsError)?;
    values(&text).map_err(|why| SecretsError(format!("{}: {why}", path.display())))
}

/// Secrets of lines. Which of two of one name would count is nothing to guess.
fn pairs(text: &str) -> Result<Values, (usize, String)> {
    let mut values = Values::new();
    for found in variables::read(text).map_err(|(line, what)| (line, what.to_string()))? {
        if values.insert(found.name, Secret::new(found.value)).is_some() {
            return Err((found.line, "this name was there before".to_owned()));
        }
    }
    Ok(values)
}

/// What a source holds: lines, or a JSON object.
fn values(text: &Secret) -> Result<Values, String> {
    let text = text.expose();
    let values = if text.trim_start().starts_with('{') {
        // Its own words may quote what it did not expect.
        serde_json::from_str::<Values>(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("it is no JSON object of texts (line {line}, column {column})")
        })?
    } else {
        pairs(text).map_err(|(line, why)| format!("line {line}: {why}"))?
    };
    let mut sum = 0;
    for (name, value) in &values {
        check_secret(name)?;
        sum += value.expose().len();
        if value.expose().contains('\0') {
            return Err(format!("`{name}` holds a NUL, and no variable can"));
        }
    }
    if sum > LARGEST {
        return Err(format!(
            "the values have {sum} bytes together, and at most {LARGEST} are taken"
        ));
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
