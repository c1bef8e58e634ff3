//! How much memory the processes of an installation had at most.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::processes::{self, Pid};

/// How often it is looked. What is read is a high-water mark, so only a process's last moments can be missed.
const LOOK: Duration = Duration::from_millis(50);

/// The largest resident set that a process had until now, in KiB; none where it is gone.
#[must_use]
pub fn peak(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Watches processes until it is asked.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

impl Watch {
    /// Watches these processes, and those of the places in `place_root`.
    #[must_use]
    pub fn start(known: &[(&str, Pid)], place_root: PathBuf) -> Self {
        let known: Vec<_> = known
            .iter()
            .map(|(name, pid)| ((*name).to_owned(), *pid))
            .collect();
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut peaks = BTreeMap::new();
            let mut note = |name: &str, pid: Pid| {
                if let Some(now) = peak(pid) {
                    let most = peaks.entry(name.to_owned()).or_insert(0);
                    *most = now.max(*most);
                }
            };
            while !told.load(Ordering::Relaxed) {
                for (name, pid) in &known {
                    note(name, *pid);
                }
                if let Some(place) = processes::place(&place_root) {
                    note("sandbox", place.sandbox);
                    note("GOAT", place.goat);
                    note("task agent", place.task_agent);
                }
                std::thread::sleep(LOOK);
            }
            peaks
        });
        Self { over, thread }
    }

    /// The peaks in KiB, by name.
    ///
    /// # Panics
    /// When the watching thread did.
    #[must_use]
    pub fn peaks(self) -> BTreeMap<String, u64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watching thread does not panic")
    }
}
