//! What was done and what was broken, with the time since the start.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::schedule::Target;

/// The history of a run. It is written to a file as it grows.
#[derive(Debug)]
pub(crate) struct Ledger {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Kills, in words.
    history: Vec<String>,
    broken: Vec<String>,
    /// When each target was hit.
    kills: Vec<(Duration, Target)>,
    /// What was killed in which attempt's place.
    hits: BTreeMap<String, Vec<Target>>,
}

impl Ledger {
    pub(crate) fn new(file: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            start: Instant::now(),
            inner: Mutex::new(Inner {
                file: File::create(file)?,
                history: Vec::new(),
                broken: Vec::new(),
                kills: Vec::new(),
                hits: BTreeMap::new(),
            }),
        })
    }

    /// Since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Notes something for whoever reads the history.
    pub(crate) fn note(&self, text: &str) {
        let line = format!("{:9.3} {text}", self.now().as_secs_f64());
        let mut inner = self.inner.lock().expect("nobody panics with it");
        // The history is an aid; a full disk shows elsewhere.
        writeln!(inner.file, "{line}").ok();
        inner.history.push(line);
    }

    /// Notes a kill, and in which attempt's place it was. To be called before the kill.
    pub(crate) fn kill(&self, target: Target, attempt: Option<&str>, text: &str) {
        self.note(text);
        let now = self.now();
        let mut inner = self.inner.lock().expect("nobody panics with it");
        inner.kills.push((now, target));
        if let Some(attempt) = attempt {
            inner.hits.entry(attempt.to_owned()).or_default().push(target);
        }
    }

    /// Notes a broken promise.
    pub(crate) fn broken(&self, text: String) {
        self.note(&format!("BROKEN: {text}"));
        self.inner
            .lock()
            .expect("nobody panics with it")
            .broken
            .push(text);
    }

    /// The broken promises, the first one first.
    pub(crate) fn all_broken(&self) -> Vec<String> {
        self.inner.lock().expect("nobody panics with it").broken.clone()
    }

    /// Whether all promises were kept so far.
    pub(crate) fn is_whole(&self) -> bool {
        self.inner
            .lock()
            .expect("nobody panics with it")
            .broken
            .is_empty()
    }

    /// What was killed in the attempt's place.
    pub(crate) fn hits(&self, attempt: &str) -> Vec<Target> {
        let inner = self.inner.lock().expect("nobody panics with it");
        inner.hits.get(attempt).cloned().unwrap_or_default()
    }

    /// Whether one of these was killed in that time.
    pub(crate) fn killed_between(&self, targets: &[Target], from: Duration, to: Duration) -> bool {
        let inner = self.inner.lock().expect("nobody panics with it");
        inner
            .kills
            .iter()
            .any(|(when, target)| (from..=to).contains(when) && targets.contains(target))
    }

    /// How often each target was killed.
    pub(crate) fn counts(&self) -> BTreeMap<Target, usize> {
        let mut counts = BTreeMap::new();
        for (_, target) in &self.inner.lock().expect("nobody panics with it").kills {
            *counts.entry(*target).or_default() += 1;
        }
        counts
    }

    /// The last lines of the history.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        let inner = self.inner.lock().expect("nobody panics with it");
        let from = inner.history.len().saturating_sub(count);
        inner.history[from..].to_vec()
    }
}
