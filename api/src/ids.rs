//! Names of things that cross a process border.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is no well-formed id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

/// The longest id that is taken from the wire.
const LONGEST: usize = 128;

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

macro_rules! word_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        ///
        /// ASCII letters, digits, `-` and `_`, 1 to 128 of them: safe in a path, a URL and a label.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a text as an id.
            ///
            /// # Errors
            /// When it is empty, longer than 128 bytes or holds another character.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                if is_word(&text) { Ok(Self(text)) } else { Err(IdError { text, expected: $expected }) }
            }

            /// The id's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

word_id!(
    /// One job of one pipeline, as the runner API names it. It stays the same over its attempts.
    TaskId,
    "a task id"
);
word_id!(
    /// One container agent. It is on the agent's disk and belongs to one [`Reach`].
    AgentId,
    "an agent id"
);
word_id!(
    /// One start of GOAT. It tells two starts of one attempt apart.
    InstanceId,
    "an instance id"
);
word_id!(
    /// One pipeline: all jobs of one push.
    PipelineId,
    "a pipeline id"
);

/// What an agent's driver can see and remove: a cluster and namespace, an engine's id, or a boot id and
/// place root. Agents of the same reach may adopt each other's places.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reach(pub String);

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One attempt at one task. Its text, `TASK.NUMBER`, is also the runner API's *allocation*.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptRef {
    /// The task.
    pub task: TaskId,
    /// The attempt's number, from 1.
    pub number: u32,
}

impl AttemptRef {
    /// Names attempt `number` of `task`.
    #[must_use]
    pub fn new(task: TaskId, number: u32) -> Self {
        Self { task, number }
    }
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.task, self.number)
    }
}

impl FromStr for AttemptRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let malformed = || IdError {
            text: text.to_owned(),
            expected: "an attempt (`TASK.NUMBER`)",
        };
        let (task, number) = text.rsplit_once('.').ok_or_else(malformed)?;
        let number: u32 = number.parse().map_err(|_| malformed())?;
        let attempt = Self {
            task: TaskId::new(task).map_err(|_| malformed())?,
            number,
        };
        // One spelling a name: `t.01` and `t.+1` are not `t.1`.
        if number == 0 || attempt.to_string() != text {
            Err(malformed())
        } else {
            Ok(attempt)
        }
    }
}

impl Serialize for AttemptRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttemptRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_reads_what_it_prints_and_nothing_else() {
        let attempt = AttemptRef::new(TaskId::new("t-1").unwrap(), 2);

        assert_eq!(attempt.to_string().parse(), Ok(attempt));
        for text in ["", "t", "t.", ".1", "t.0", "t.01", "t.+1", "a/b.1", "a.b.1"] {
            assert!(text.parse::<AttemptRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_that_could_leave_its_folder_is_refused() {
        for text in ["", "..", "a/b", "a b", "a\n", &"x".repeat(129)] {
            assert!(TaskId::new(text).is_err(), "{text}");
        }
    }
}
