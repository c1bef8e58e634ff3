//! Texts, choices, durations and environments.

use std::collections::BTreeMap;

use api::Millis;

use super::{Checker, Expressions};
use crate::diagnostic::{Code, Problem, quote};
use crate::source::{Span, Spanned};
use crate::tree::{Entry, Kind, Node, number};

/// The longest duration: 30 days, in milliseconds. Sums of such durations fit every clock.
const LONGEST: u64 = 30 * 24 * 60 * 60 * 1000;
/// No expression is longer, in bytes; so a text of `<<` alone takes no long search.
const LONGEST_EXPRESSION: usize = 400;

impl Checker<'_> {
    /// A text. None, and reported, where it is none.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let Some(text) = node.text().filter(|_| !node.is_nothing()) else {
            self.wrong_type(node, what, "text", None);
            return None;
        };
        if text.contains('\0') {
            let message = format!("{what} contains a NUL character");
            self.report(Problem::error(Code::BadValue, node.span, message));
            return None;
        }
        let value = match self.expressions {
            Expressions::Text => text.to_owned(),
            Expressions::Meant => {
                if let Some(expression) = expression(text) {
                    let span = self.span_within(node, expression);
                    self.not_supported(span, &quote(expression));
                    return None;
                }
                text.replace("\\<<", "<<")
            }
        };
        Some(Spanned {
            value,
            span: node.span,
        })
    }

    /// A text in which something is written.
    pub(crate) fn full_text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = self.text(node, what)?;
        if text.value.trim().is_empty() {
            let message = format!("{what} is empty");
            self.report(Problem::error(Code::Empty, node.span, message));
            return None;
        }
        Some(text)
    }

    /// A text on one line, without control characters.
    pub(crate) fn line(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = self.full_text(node, what)?;
        if text.value.chars().any(char::is_control) {
            let message = format!("{what} must be one line without control characters");
            self.report(Problem::error(Code::BadValue, node.span, message));
            return None;
        }
        Some(text)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.full_text(node, what)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words = || choices.iter().map(|(word, _)| *word);
        let listed: Vec<String> = words().map(quote).collect();
        let listed = match listed.as_slice() {
            [one] => one.clone(),
            _ => format!("one of {}", listed.join(", ")),
        };
        let suggestion = self
            .did_you_mean(&text.value, words())
            .unwrap_or_else(|| format!("write {listed}"));
        let message = format!("{what} must be {listed}, not {}", quote(&text.value));
        self.report(Problem::error(Code::BadValue, node.span, message).suggest(suggestion));
        None
    }

    /// A duration: `90s`, `10m`, `1.5h`, or a bare number of seconds.
    pub(crate) fn duration(&mut self, node: &Node, what: &str) -> Option<Millis> {
        let text = self.full_text(node, what)?;
        let problem = match milliseconds(text.value.trim()) {
            Some(0) => "must be longer than nothing".to_owned(),
            Some(millis) if millis <= LONGEST => return Some(Millis(millis)),
            Some(_) => "may be 30 days (`720h`) at most".to_owned(),
            None => format!("must be a duration, not {}", quote(&text.value)),
        };
        let problem = Problem::error(Code::BadValue, node.span, format!("{what} {problem}"));
        self.report(problem.suggest("write a number with `s`, `m` or `h`: `90s`, `10m`, `1.5h`"));
        None
    }

    /// Variables: a mapping, a list of mappings, or a list of `NAME=VALUE`.
    pub(crate) fn environment(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut variables = Variables::default();
        match &node.kind {
            Kind::Sequence(parts) => {
                for part in parts.iter() {
                    self.variables(part, &mut variables);
                }
            }
            _ if node.is_nothing() => {}
            _ => {
                for entry in self.mapping(node, "`environment`").unwrap_or_default() {
                    self.variable(entry, &mut variables);
                }
            }
        }
        variables.values
    }

    /// An item of a list of variables.
    fn variables(&mut self, item: &Node, variables: &mut Variables) {
        if item.text().is_some_and(|text| text.contains('=')) {
            if let Some(text) = self.text(item, "a variable")
                && let Some((name, value)) = text.value.split_once('=')
                && self.is_free(name, item.span, variables)
            {
                variables.values.insert(name.to_owned(), value.to_owned());
            }
            return;
        }
        let Kind::Mapping(entries) = &item.kind else {
            let hint = match item
                .text()
                .filter(|name| !name.trim().is_empty() && !item.is_nothing())
            {
                Some(name) => format!(
                    "write {}, or {} for one without a value",
                    quote(&format!("{name}=VALUE")),
                    quote(&format!("{name}="))
                ),
                None => "write each item as `NAME=VALUE` or `NAME: VALUE`".to_owned(),
            };
            let expected = "`NAME=VALUE` or a mapping";
            self.wrong_type(item, "an item of `environment`", expected, Some(&hint));
            return;
        };
        for entry in entries.iter() {
            self.variable(entry, variables);
        }
    }

    fn variable(&mut self, entry: &Entry, variables: &mut Variables) {
        let name = &*entry.key;
        let is_free = self.is_free(name, entry.key_span, variables);
        if let Some(value) = self.variable_value(&entry.value, name)
            && is_free
        {
            variables.values.insert(name.to_owned(), value);
        }
    }

    /// Whether a name is one, and not taken.
    fn is_free(&mut self, name: &str, span: Span, variables: &mut Variables) -> bool {
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("{} cannot be the name of a variable", quote(name));
            self.report(Problem::error(Code::BadValue, span, message));
            return false;
        }
        let first = variables.places.insert(name.to_owned(), span);
        if let Some(first) = first {
            let message = format!("the variable {} is set twice", quote(name));
            self.report(Problem::error(Code::DuplicateKey, span, message).related(first, "the first"));
        }
        first.is_none()
    }

    fn variable_value(&mut self, node: &Node, name: &str) -> Option<String> {
        if node.is_nothing() {
            return Some(String::new());
        }
        if node.plain().is_some_and(number::loses_as_number) {
            let text = node.text().unwrap_or("");
            let message = format!(
                "{} is kept as this text, but other YAML readers make another number of it",
                quote(text)
            );
            let problem = Problem::warning(Code::QuoteIt, node.span, message);
            self.report(problem.suggest(format!("write \"{text}\"")));
        }
        let what = format!("the variable {}", quote(name));
        self.text(node, &what).map(|text| text.value)
    }

    /// Where a part of a node's text stands in the source; the node's own place where that is unclear.
    fn span_within(&self, node: &Node, part: &str) -> Span {
        let around = node.defined.unwrap_or(node.span);
        let Some(at) = self.source().slice(around).find(part) else {
            return node.span;
        };
        let start = around.start.offset + at;
        Span {
            start: self.source().position_of_byte(start),
            end: self.source().position_of_byte(start + part.len()),
        }
    }
}

/// Variables, and where each was set.
#[derive(Debug, Default)]
struct Variables {
    values: BTreeMap<String, String>,
    places: BTreeMap<String, Span>,
}

/// The first `<< ... >>` in a text that means something to CircleCI. A here-document with a redirection
/// (`<<EOF >>file`) does not.
fn expression(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find("<<") {
        let start = from + found;
        from = start + 2;
        if text[..start].ends_with('\\') {
            continue;
        }
        let near = &text.as_bytes()[from..text.len().min(from + LONGEST_EXPRESSION)];
        let Some(end) = near.windows(2).position(|two| two == b">>").map(|end| from + end) else {
            continue;
        };
        let inner = text[from..end].trim();
        let section = inner
            .strip_prefix(['#', '^', '/'])
            .is_some_and(|name| name.trim().starts_with(|first: char| first.is_ascii_alphabetic()));
        let names = ["parameters.", "pipeline.", "matrix."];
        if !inner.contains('\n') && (section || names.iter().any(|name| inner.contains(name))) {
            return text.get(start..end + 2);
        }
    }
    None
}

/// A duration in milliseconds; none where the text is none, or where it is beyond counting.
fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60_000),
        Some(number) if text.ends_with('h') => (number, 3_600_000),
        Some(number) => (number, 1000),
        None => (text, 1000_u64),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // Beyond nine digits after the point nothing is left of a millisecond.
    let fraction = &fraction[..fraction.len().min(9)];
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    // What does not fit is far beyond the longest duration, and is refused as too long.
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    let part = fraction.parse::<u64>().ok()?.saturating_mul(unit) / scale;
    Some(whole.saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        assert_eq!(milliseconds("90s"), Some(90_000));
        assert_eq!(milliseconds("10m"), Some(600_000));
        assert_eq!(milliseconds("1.5h"), Some(5_400_000));
        assert_eq!(milliseconds("2400"), Some(2_400_000));
        assert_eq!(milliseconds("0.0015"), Some(1));
        assert_eq!(milliseconds("99999999999999999999h"), Some(u64::MAX));
        for text in [
            "", "m", "-1s", "1d", "1h30m", "1.s", ".5s", "1 m", "ten", "1e3", "1..5m",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn expressions_are_told_from_here_documents() {
        assert_eq!(expression("a << parameters.x >> b"), Some("<< parameters.x >>"));
        assert_eq!(
            expression("<<pipeline.git.branch>>"),
            Some("<<pipeline.git.branch>>")
        );
        assert_eq!(expression("<<# matrix >>x<</ matrix >>"), Some("<<# matrix >>"));
        for text in [
            "cat <<EOF >>file\nx\nEOF",
            "cat \\<< parameters.x >>",
            "a << b",
            "<<",
            "1 << 2 >> 1",
        ] {
            assert_eq!(expression(text), None, "{text}");
        }
    }
}
