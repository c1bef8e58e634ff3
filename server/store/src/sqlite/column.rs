//! What columns hold, where it is not what Rust holds.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// A value as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::unreadable(std::any::type_name::<T>(), error))
}

/// A value from JSON.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::unreadable(std::any::type_name::<T>(), error))
}

/// A value from JSON, where there is one.
pub(super) fn from_json_option<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(from_json).transpose()
}

/// A number that somebody outside chose. SQLite's integers are signed; nothing stored is beyond their range.
pub(super) fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time for the wire.
pub(super) fn wire_time(time: queue::Time) -> i64 {
    clamped(time.0)
}
