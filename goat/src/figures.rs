//! What `/metrics` shows, and whether the supervisor still turns.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sys::process::{Usage, boot_time_now};

/// Longer than any turn of the supervisor's loop takes: then it is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// Shared by the supervisor, which writes, and the health check API, which reads.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    ready: AtomicBool,
    last_turn_ms: AtomicU64,
    running: AtomicBool,
    reaped: AtomicU64,
    orphans: AtomicU64,
    cpu_us: AtomicU64,
    max_rss_kib: AtomicU64,
    calls_answered: AtomicU64,
    calls_failed: AtomicU64,
}

impl Figures {
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn turned(&self) {
        self.last_turn_ms
            .store(milliseconds(boot_time_now()), Ordering::Relaxed);
    }

    pub(crate) fn is_turning(&self) -> bool {
        let now = milliseconds(boot_time_now());
        now.saturating_sub(self.last_turn_ms.load(Ordering::Relaxed)) <= milliseconds(STUCK)
    }

    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    pub(crate) fn collected(&self, usage: &Usage, orphan: bool) {
        self.reaped.fetch_add(1, Ordering::Relaxed);
        self.orphans.fetch_add(u64::from(orphan), Ordering::Relaxed);
        let cpu = u64::try_from((usage.user + usage.system).as_micros()).unwrap_or(u64::MAX);
        self.cpu_us.fetch_add(cpu, Ordering::Relaxed);
        self.max_rss_kib.fetch_max(usage.max_rss_kib, Ordering::Relaxed);
    }

    pub(crate) fn called(&self, answered: bool) {
        let count = if answered {
            &self.calls_answered
        } else {
            &self.calls_failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn max_rss_kib(&self) -> u64 {
        self.max_rss_kib.load(Ordering::Relaxed)
    }

    /// In Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let cpu = Duration::from_micros(load(&self.cpu_us)).as_secs_f64();
        let mut text = String::new();
        let mut figure = |name: &str, kind: &str, help: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
        };
        figure(
            "goat_task_running",
            "gauge",
            "Whether the task agent runs.",
            u8::from(self.running.load(Ordering::Relaxed)).to_string(),
        );
        figure(
            "goat_reaped_total",
            "counter",
            "Children collected.",
            load(&self.reaped).to_string(),
        );
        figure(
            "goat_orphans_reaped_total",
            "counter",
            "Children collected that others had started.",
            load(&self.orphans).to_string(),
        );
        figure(
            "goat_children_cpu_seconds_total",
            "counter",
            "CPU time of ended children.",
            cpu.to_string(),
        );
        figure(
            "goat_children_max_rss_bytes",
            "gauge",
            "The largest resident set of an ended child.",
            load(&self.max_rss_kib).saturating_mul(1024).to_string(),
        );
        figure(
            "goat_api_calls_answered_total",
            "counter",
            "Reports that the runner API took.",
            load(&self.calls_answered).to_string(),
        );
        figure(
            "goat_api_calls_failed_total",
            "counter",
            "Reports that the runner API did not take.",
            load(&self.calls_failed).to_string(),
        );
        text
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_has_not_turned_for_ten_seconds_is_stuck() {
        let figures = Figures::default();
        let now = milliseconds(boot_time_now());

        // The machine may be slow between the two readings of its clock, but not for seconds.
        for (age_ms, expected) in [(0, true), (7_000, true), (10_001, false)] {
            figures
                .last_turn_ms
                .store(now.saturating_sub(age_ms), Ordering::Relaxed);

            assert_eq!(figures.is_turning(), expected, "{age_ms} ms");
        }
    }
}
