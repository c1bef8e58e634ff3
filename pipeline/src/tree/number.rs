//! Texts that other YAML readers take for a number, and so change.

/// Whether a plain text reads as a number, in YAML 1.1 or 1.2, and does not come back as the same text.
pub(crate) fn loses_as_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.is_empty() || unsigned.len() > 400 || !unsigned.is_ascii() {
        return false;
    }
    if is_word(unsigned) || is_based(unsigned) || is_sexagesimal(unsigned) {
        return true;
    }
    if !is_decimal(unsigned) {
        return false;
    }
    let kept = text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
        || text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
        || (text.contains('.') && text.parse::<f64>().is_ok_and(|number| number.to_string() == text));
    !kept
}

/// `.inf`, `.nan`.
fn is_word(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), ".inf" | ".nan")
}

/// `0x1f`, `0o17`, `0b10`.
fn is_based(text: &str) -> bool {
    let Some((digits, radix)) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| text.strip_prefix(prefix).map(|digits| (digits, radix)))
    else {
        return false;
    };
    let mut all = digits.chars().filter(|found| *found != '_').peekable();
    all.peek().is_some() && all.all(|digit| digit.is_digit(radix))
}

/// `12:30`, which YAML 1.1 reads in base 60.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or("");
    let leads = first.starts_with(|digit: char| ('1'..='9').contains(&digit))
        && first.chars().all(|found| found.is_ascii_digit() || found == '_');
    let mut more = false;
    leads
        && parts.all(|part| {
            more = true;
            matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
        })
        && more
}

/// Digits, with `_` between them, a point and an exponent where wanted.
fn is_decimal(text: &str) -> bool {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.chars().all(|found| found.is_ascii_digit() || found == '_');
    let starts = whole.starts_with(|digit: char| digit.is_ascii_digit())
        || (whole.is_empty() && fraction.starts_with(|digit: char| digit.is_ascii_digit()));
    let exponent = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['-', '+']).unwrap_or(part);
        !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit())
    });
    starts && digits(whole) && digits(fraction) && exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_would_change_is_seen() {
        for text in [
            "3.10",
            "1.0",
            "1.",
            ".5",
            "010",
            "007",
            "1_000",
            "0x1F",
            "0o17",
            "0b10",
            "1e3",
            "1.5e3",
            "+1",
            "-0",
            "12:30",
            "1:02:03",
            ".inf",
            "-.INF",
            ".NaN",
            "123456789012345678901234567890",
            "0.12345678901234567890",
        ] {
            assert!(loses_as_number(text), "{text}");
        }
    }

    #[test]
    fn a_number_that_comes_back_the_same_is_left_alone() {
        for text in [
            "0",
            "1",
            "-1",
            "42",
            "3.1",
            "-0.25",
            "9223372036854775807",
            "18446744073709551615",
            "",
            "-",
            "+",
            "1.2.3",
            "v1",
            "e3",
            "_",
            "0x",
            "0xg",
            "1.22-alpine",
            "nan",
            "inf",
            "infinity",
            "12:60",
            "80:8080",
            "08:30",
            "10.0.0.1",
            "é1",
            "1e",
            "1e+",
            ".",
            "..",
        ] {
            assert!(!loses_as_number(text), "{text}");
        }
    }
}
