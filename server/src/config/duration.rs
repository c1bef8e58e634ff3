//! Durations as people write them.

use api::Millis;
use serde::Deserialize;

/// A duration in a configuration file: `300ms`, `90s`, `1h30m`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Duration(pub(super) Millis);

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse(&text).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no duration; write whole numbers with units, such as `300ms`, `90s`, `1h30m` or `30d`"
            )
        })
    }
}

/// Reads whole numbers with units, such as `300ms`, `90s` or `1h30m`.
#[must_use]
pub fn parse(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_length] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[unit_length..];
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then_some(Millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("300ms", 300),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("1m1s1ms", 61_001),
        ] {
            assert_eq!(parse(text), Some(Millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_does_not_fit_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "1.5h",
            "-1s",
            "1 s",
            "1w",
            "99999999999999999999s",
            "9999999999999999999h",
            "5é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
