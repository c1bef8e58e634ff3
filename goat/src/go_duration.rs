//! Durations as Go writes them: `1m30s`, `300ms`, `1.5h`.

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: {reason}")]
pub struct DurationError {
    text: String,
    reason: &'static str,
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// One more nanosecond than the longest duration has, and as many as the longest negative one.
const MOST: u64 = 1 << 63;

/// Reads a duration, in nanoseconds. What is smaller than a nanosecond is dropped; fractions are rounded as Go
/// rounds them, which is not exact after the fifteenth digit.
///
/// # Errors
/// Where Go's `time.ParseDuration` has one, too.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let error = |reason| DurationError {
        text: text.to_owned(),
        reason,
    };
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(error("it is empty"));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(error("a number is missing"));
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = unit_of(unit).ok_or_else(|| error("a unit is missing or unknown"))?;
        total = amount(whole, fraction, unit)
            .and_then(|amount| total.checked_add(amount))
            .filter(|&total| total <= MOST)
            .ok_or_else(|| error("it is too long"))?;
        rest = after;
    }
    let total = i128::from(total);
    i64::try_from(if negative { -total } else { total }).map_err(|_| error("it is too long"))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn unit_of(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// None where it is too long.
fn amount(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let whole = whole.checked_mul(unit).filter(|&whole| whole <= MOST)?;
    whole
        .checked_add(part(fraction, unit))
        .filter(|&amount| amount <= MOST)
}

/// A fraction of a unit, by Go's own steps: digits are dropped once no more fit a number, and what is left is
/// multiplied as floating point numbers are.
#[expect(
    clippy::as_conversions,
    reason = "rounded as in Go; the result is less than an hour's nanoseconds"
)]
fn part(digits: &str, unit: u64) -> u64 {
    let mut number: u64 = 0;
    let mut scale = 1.0;
    for digit in digits.bytes() {
        if number > (MOST - 1) / 10 {
            break;
        }
        let longer = number * 10 + u64::from(digit - b'0');
        if longer > MOST {
            break;
        }
        number = longer;
        scale *= 10.0;
    }
    (number as f64 * (unit as f64 / scale)) as u64
}

/// Writes a duration in nanoseconds as Go's `Duration.String` does.
#[must_use]
pub fn format(nanoseconds: i64) -> String {
    let amount = nanoseconds.unsigned_abs();
    let text = match amount {
        0 => return "0s".to_owned(),
        1..MICROSECOND => format!("{amount}ns"),
        MICROSECOND..MILLISECOND => format!("{}\u{b5}s", decimal(amount, MICROSECOND)),
        MILLISECOND..SECOND => format!("{}ms", decimal(amount, MILLISECOND)),
        _ => {
            let (hours, minutes) = (amount / HOUR, amount / MINUTE % 60);
            let seconds = decimal(amount % MINUTE, SECOND);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    if nanoseconds < 0 { format!("-{text}") } else { text }
}

fn decimal(amount: u64, unit: u64) -> String {
    let digits = unit.ilog10();
    let width = usize::try_from(digits).unwrap_or_default();
    let text = format!("{}.{:0width$}", amount / unit, amount % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::fuzz::fuzz;

    /// See `generate.go` there.
    const OF_GO: &str = include_str!("../tests/golden/durations.jsonl");

    #[test]
    fn durations_read_as_in_go() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("300ms", 300_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1m30s", 90_000_000_000),
            ("-1.5s", -1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "1",
            "1x",
            "1 s",
            "1h 2m",
            "9223372036854775808ns",
            "3000000h",
            "1e3s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (245_001_000_000, "4m5.001s"),
            (18_000_000_000_000, "5h0m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (-60_000_000_000, "-1m0s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format(nanoseconds), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(nanoseconds in any::<i64>(), shift in 0_u32..63) {
            let nanoseconds = nanoseconds >> shift;

            prop_assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
        }

        #[test]
        fn what_is_read_prints_as_the_same_amount(
            hours in 0_i64..100_000, minutes in 0_i64..200, milliseconds in 0_i64..100_000,
        ) {
            let text = format!("{hours}h{minutes}m{}.{:03}s", milliseconds / 1000, milliseconds % 1000);

            let read = parse(&text).expect("it is a duration");

            prop_assert_eq!(read, ((hours * 60 + minutes) * 60_000 + milliseconds) * 1_000_000);
            prop_assert_eq!(parse(&format(read)), Ok(read));
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        fuzz(
            "[-+]?([0-9]{0,25}[.]?[0-9]{0,25}[a-z\u{b5}\u{3bc}]{0,2}){0,4}",
            |text| {
                if let Ok(nanoseconds) = parse(&text) {
                    prop_assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
                }
                Ok(())
            },
        );
    }

    #[test]
    fn it_reads_and_prints_what_go_does() {
        for line in OF_GO.lines() {
            let pair: [Value; 2] = serde_json::from_str(line).expect("Go wrote it");
            match &pair {
                [Value::String(text), nanoseconds] => {
                    assert_eq!(parse(text).ok(), nanoseconds.as_i64(), "{line}");
                }
                [nanoseconds, text] => {
                    assert_eq!(
                        nanoseconds.as_i64().map(format).as_deref(),
                        text.as_str(),
                        "{line}"
                    );
                }
            }
        }
        assert!(OF_GO.lines().count() > 4000);
    }
}
