//! What the agent holds, and the server's orders for each.
//!
//! The lock is held for a few instructions and never over an await.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::AttemptRef;
use api::runner::presence::Held;
use tokio::sync::watch;

/// What the server wants done with an attempt. A later one replaces an earlier one, never the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    /// Go on.
    GoOn,
    /// It is cancelled: stop it.
    Stop,
    /// It is over: stop it and remove its place.
    Over,
    /// Another agent has it: forget it and touch nothing.
    Forget,
}

/// How far the agent is with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its place is being made.
    Starting,
    /// It runs by itself.
    Running,
    /// It ended: reports are on their way, its place is being removed.
    Ending,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    wish: watch::Sender<Wish>,
}

/// The attempts that the agent holds.
#[derive(Debug)]
pub(crate) struct Holdings {
    entries: Mutex<BTreeMap<AttemptRef, Entry>>,
    changed: watch::Sender<()>,
}

impl Holdings {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::new(BTreeMap::new()),
            changed: watch::Sender::new(()),
        }
    }

    /// Takes an attempt and gives the server's wishes for it; none where it is held already.
    pub(crate) fn take(&self, attempt: &AttemptRef, stage: Stage) -> Option<watch::Receiver<Wish>> {
        let receiver = {
            let mut entries = self.entries();
            if entries.contains_key(attempt) {
                return None;
            }
            let (wish, receiver) = watch::channel(Wish::GoOn);
            entries.insert(attempt.clone(), Entry { stage, wish });
            receiver
        };
        self.changed.send_replace(());
        Some(receiver)
    }

    /// Drops an attempt.
    pub(crate) fn drop(&self, attempt: &AttemptRef) {
        self.entries().remove(attempt);
        self.changed.send_replace(());
    }

    /// Says how far the agent is with it.
    pub(crate) fn reached(&self, attempt: &AttemptRef, stage: Stage) {
        if let Some(entry) = self.entries().get_mut(attempt) {
            entry.stage = stage;
        }
        self.changed.send_replace(());
    }

    /// Hands the server's wish to whoever sees the attempt through; says whether it was news.
    pub(crate) fn wish(&self, attempt: &AttemptRef, wish: Wish) -> bool {
        self.entries().get(attempt).is_some_and(|entry| {
            entry.wish.send_if_modified(|known| {
                let news = wish > *known;
                *known = wish.max(*known);
                news
            })
        })
    }

    /// Whether an attempt is held.
    pub(crate) fn holds(&self, attempt: &AttemptRef) -> bool {
        self.entries().contains_key(attempt)
    }

    /// All attempts that are held, for `claim`.
    pub(crate) fn attempts(&self) -> Vec<AttemptRef> {
        self.entries().keys().cloned().collect()
    }

    /// What to list in `presence`. What the server called over or another agent's is left out: it is no
    /// news any more, and would be answered at once again and again.
    pub(crate) fn listed(&self) -> Vec<Held> {
        let entries = self.entries();
        let listed = entries.iter().filter_map(|(attempt, entry)| {
            let wish = *entry.wish.borrow();
            (wish < Wish::Over).then(|| Held {
                attempt: attempt.clone(),
                cancel_seen: wish == Wish::Stop,
            })
        });
        listed.collect()
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.entries().len()
    }

    /// How many have come as far as one of these stages and no further.
    pub(crate) fn count_in(&self, stages: &[Stage]) -> usize {
        self.entries()
            .values()
            .filter(|entry| stages.contains(&entry.stage))
            .count()
    }

    /// Learns of each change to what is held and how far it is.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<AttemptRef, Entry>> {
        // Each critical section leaves the map whole, so a panic elsewhere does no harm to it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use api::TaskId;

    use super::*;

    fn attempt() -> AttemptRef {
        AttemptRef::new(TaskId::new("t").unwrap(), 1)
    }

    #[test]
    fn an_attempt_is_taken_once() {
        let holdings = Holdings::new();

        assert!(holdings.take(&attempt(), Stage::Starting).is_some());
        assert!(holdings.take(&attempt(), Stage::Starting).is_none());
        assert_eq!(holdings.count(), 1);
    }

    #[test]
    fn a_wish_is_news_once_and_never_taken_back() {
        let holdings = Holdings::new();
        let wishes = holdings.take(&attempt(), Stage::Running).unwrap();

        assert!(holdings.wish(&attempt(), Wish::Stop));
        assert!(!holdings.wish(&attempt(), Wish::Stop));
        assert!(!holdings.wish(&attempt(), Wish::GoOn));
        assert_eq!(*wishes.borrow(), Wish::Stop);
        assert!(holdings.listed().first().unwrap().cancel_seen);
    }

    #[test]
    fn what_is_over_is_not_listed_again() {
        let holdings = Holdings::new();
        let _wishes = holdings.take(&attempt(), Stage::Running).unwrap();

        holdings.wish(&attempt(), Wish::Over);

        assert!(holdings.listed().is_empty());
        assert_eq!(holdings.attempts(), [attempt()]);
    }
}
