//! How old something is, by a clock that may have been wrong.
//!
//! While the store is open its clock is monotonic, so what passes then has passed. What passed while it was closed is
//! known from the wall clock alone, and a wall clock that was set wrong looks like a long absence. So of each absence
//! no more than a day makes anything older: a wrong clock cannot make all that is kept old at once.

use api::Millis;
use queue::Time;
use serde::{Deserialize, Serialize};

/// How much of an absence counts.
const COUNTS: u64 = 24 * 60 * 60 * 1000;
/// How many absences are remembered one by one.
const MOST: usize = 256;

/// A stretch of the store's time that makes nothing older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    from: u64,
    to: u64,
}

/// All such stretches, oldest first. They do not overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Absences(Vec<Stretch>);

impl Absences {
    /// The store was last seen at `last`, and now it is `now`. Answers whether that is news to be kept.
    pub(crate) fn note(&mut self, last: Time, now: Time) -> bool {
        let from = last.0.saturating_add(COUNTS);
        if from >= now.0 {
            return false;
        }
        self.0.push(Stretch { from, to: now.0 });
        if self.0.len() > MOST {
            // Two that become one count what was between them as well: things are kept longer by that, never shorter.
            let oldest = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                next.from = oldest.from;
            }
        }
        true
    }

    /// What is from before this moment is older than `age`.
    pub(crate) fn older_than(&self, age: Millis, now: Time) -> Time {
        let (mut left, mut at) = (age.0, now.0);
        for stretch in self.0.iter().rev() {
            let counts = at.saturating_sub(stretch.to);
            if counts >= left {
                break;
            }
            left -= counts;
            at = stretch.from;
        }
        Time(at.saturating_sub(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = COUNTS;

    fn day(number: u64) -> Time {
        Time(number * DAY)
    }

    fn days(number: u64) -> Millis {
        Millis(number * DAY)
    }

    #[test]
    fn without_a_long_absence_time_is_time() {
        let mut absences = Absences::default();

        assert!(!absences.note(day(99), day(100)));
        assert_eq!(absences.older_than(days(30), day(100)), day(70));
        assert_eq!(absences.older_than(days(101), day(100)), day(0));
    }

    #[test]
    fn a_year_without_the_store_counts_as_a_day() {
        let mut absences = Absences::default();

        assert!(absences.note(day(100), day(465)));

        assert_eq!(absences.older_than(days(30), day(465)), day(71));
        assert_eq!(absences.older_than(days(30), day(475)), day(81));
        assert_eq!(absences.older_than(days(5), day(475)), day(470));
        assert!(absences.note(day(475), day(575)));
        assert_eq!(absences.older_than(days(30), day(575)), day(82));
    }

    #[test]
    fn absences_beyond_number_only_keep_things_longer() {
        let mut absences = Absences::default();
        let mut now = 1000;
        let many = 2 * u64::try_from(MOST).unwrap();
        for _ in 0..many {
            absences.note(day(now), day(now + 10));
            now += 10;
        }

        assert_eq!(absences.0.len(), MOST);
        let count = |age| absences.older_than(days(age), day(now));
        assert_eq!(count(10), day(now - 100));
        assert!(count(many + 10) < day(1000));
    }
}
