//! How long things are kept, and how much of them.

use api::Millis;
use serde::Deserialize;

use super::ConfigError;
use super::duration::Duration;

const MEBIBYTE: u64 = 1024 * 1024;

/// How long things are kept after their pipeline ended, and how much of them. What runs is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Whole pipelines; for ever where absent.
    pub pipelines: Option<Millis>,
    /// What steps wrote; as long as their pipelines where absent.
    pub logs: Option<Millis>,
    /// What steps sent; as long as their pipelines where absent.
    pub artifacts: Option<Millis>,
    /// Entries of the audit log, from when they were written; for ever where absent.
    pub audit: Option<Millis>,
    /// The most bytes of all logs together; the oldest go first.
    pub most_log_bytes: Option<u64>,
    /// The most bytes of all artifacts together; the oldest go first.
    pub most_artifact_bytes: Option<u64>,
    /// The pause between two looks at what is to go.
    pub every: Millis,
}

/// Days, which are all of one length here.
const fn days(days: u64) -> Millis {
    Millis::seconds(days * 24 * 3600)
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            pipelines: Some(days(90)),
            logs: Some(days(30)),
            artifacts: Some(days(30)),
            audit: Some(days(400)),
            most_log_bytes: None,
            most_artifact_bytes: None,
            every: Millis::seconds(3600),
        }
    }
}

/// Part `[retention]` of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pipelines: Option<Age>,
    logs: Option<Age>,
    artifacts: Option<Age>,
    audit: Option<Age>,
    max_logs_mib: Option<u32>,
    max_artifacts_mib: Option<u32>,
}

/// A duration, or `never`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Age(Option<Millis>);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "never" {
            return Ok(Self(None));
        }
        let duration = Duration::try_from(text).map_err(|why| format!("{why}; or `never`"))?;
        Ok(Self(Some(duration.0)))
    }
}

impl Section {
    /// What the section says, over the defaults.
    pub(super) fn read(&self) -> Result<Retention, ConfigError> {
        let defaults = Retention::default();
        let or = |given: Option<Age>, default: Option<Millis>| given.map_or(default, |age| age.0);
        let bytes = |mebibytes: Option<u32>| mebibytes.map(|number| u64::from(number) * MEBIBYTE);
        let retention = Retention {
            pipelines: or(self.pipelines, defaults.pipelines),
            logs: or(self.logs, defaults.logs),
            artifacts: or(self.artifacts, defaults.artifacts),
            audit: or(self.audit, defaults.audit),
            most_log_bytes: bytes(self.max_logs_mib),
            most_artifact_bytes: bytes(self.max_artifacts_mib),
            every: defaults.every,
        };
        for (name, age) in [
            ("pipelines", retention.pipelines),
            ("logs", retention.logs),
            ("artifacts", retention.artifacts),
            ("audit", retention.audit),
        ] {
            // Task agents may resend for an hour; and less was meant for something else.
            if age.is_some_and(|age| age < Millis::seconds(3600)) {
                return Err(ConfigError::new(format!(
                    "`{name}` is kept for less than an hour: write at least `1h`, or `never` for what is never removed"
                )));
            }
        }
        Ok(retention)
    }
}
