//! The parser's own errors, in words that help.

use crate::diagnostic::{Code, Problem, quote};
use crate::source::{Position, Source, Span};
use crate::suggest;

/// The problem for an error that the parser reported.
pub(super) fn of_parser(info: &str, at: Position, source: &Source) -> Problem {
    let span = Span { start: at, end: at };
    let rest = source.text().get(at.offset..).unwrap_or("");
    if info.contains("unknown anchor") {
        return unknown_anchor(rest, span, source);
    }
    if info.contains("recursion limit") {
        return Problem::error(
            Code::TooDeep,
            span,
            "lists and mappings lie too deep in each other here",
        );
    }
    let problem = Problem::error(Code::Syntax, span, format!("this is not YAML: {info}"));
    let hint = if info.contains("tabs disallowed") || (info.contains("tab") && rest.starts_with('\t')) {
        Some("indent with spaces; YAML does not take tabs there")
    } else if info.contains("mapping values are not allowed") {
        Some("look at the indentation; or put quotes around a text that contains `: `")
    } else if info.contains("quoted scalar") && info.contains("end of stream") {
        Some("the quote that opens here is never closed")
    } else if info.contains("unknown escape") {
        Some("write `\\\\` for a backslash in double quotes, or use single quotes")
    } else if info.contains("unexpected character") {
        Some("put quotes around a text that starts with this character")
    } else if info.contains("did not find expected") {
        Some("look at the indentation of this line and the one above it")
    } else {
        None
    };
    problem.suggest_if(hint.map(str::to_owned))
}

fn unknown_anchor(rest: &str, span: Span, source: &Source) -> Problem {
    let name = name_after(rest.strip_prefix('*').unwrap_or(rest));
    let end = source.position_of_byte(span.start.offset + 1 + name.len());
    let known = source.text().match_indices('&').filter_map(|(at, _)| {
        let before = source.text()[..at].chars().next_back();
        // Where no anchor can start none is looked for: in a row of `&` each name would reach to its end.
        let starts = before.is_none_or(|found| found.is_whitespace() || "[{,".contains(found));
        let name = if starts {
            name_after(&source.text()[at + 1..])
        } else {
            ""
        };
        (!name.is_empty()).then_some(name)
    });
    let near = suggest::nearest(name, known.take(1000));
    let message = format!("no anchor {} stands above this alias", quote(&format!("&{name}")));
    Problem::error(Code::Syntax, span.until(end), message)
        .suggest_if(near.map(|near| format!("did you mean {}?", quote(&format!("*{near}")))))
}

/// The anchor's name at the start of a text.
fn name_after(text: &str) -> &str {
    let end = text.find(|found: char| found.is_whitespace() || ",[]{}".contains(found));
    end.map_or(text, |end| &text[..end])
}
