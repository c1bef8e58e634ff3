//! The store's clock: it never goes backwards, not even over a restart on a machine whose clock was set back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use queue::Time;

/// Milliseconds since the epoch at its start, and monotonic from there.
///
/// Standing still while the machine sleeps is intended: no lease may end because nobody could renew it.
#[derive(Debug)]
pub(crate) struct Clock {
    base: u64,
    started: Instant,
}

impl Clock {
    /// Starts at `wall`, the wall clock's time now, but not before `last`, the last time that was stored. The wall
    /// clock is not looked at again: whoever sets it while the store is open changes nothing here.
    pub(crate) fn after(last: u64, wall: u64) -> Self {
        Self {
            base: wall.max(last),
            started: Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Time {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Time(self.base.saturating_add(passed))
    }
}

/// The wall clock, in milliseconds since the epoch; 0 where it is set before that.
pub(crate) fn wall() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
}

/// A time for people: `2026-01-31 23:59:59 UTC`.
pub(crate) fn utc(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The Gregorian date of a day since the epoch. Years begin in March here, so that the leap day is their last
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_after_the_last_stored_time_when_the_machine_was_set_back() {
        let last = wall() + 3_600_000;

        assert!(Clock::after(last, wall()).now().0 >= last);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds * 1000), text);
        }
    }
}
