//! Diagnostics for people: file, line and column, the line itself with a caret, and what to do.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Padding, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::without_byte_order_mark;

/// Of a longer line only the part around the place is shown.
const LONGEST_LINE: usize = 4096;
/// How much of a longer line is shown before the place, and after it, in characters.
const AROUND: usize = 40;

/// Whether the text has terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// Plain text.
    #[default]
    Never,
    /// With escape codes.
    Always,
}

impl Diagnostic {
    /// Plain text of several lines, without a line end at the end. `source` is the text that was compiled.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        self.render_in(source, Color::Never)
    }

    /// The same, in colour or not.
    #[must_use]
    pub fn render_in(&self, source: &str, color: Color) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message).id(self.code.word());
        let mut group = match self.excerpt(without_byte_order_mark(source)) {
            Some(snippet) => title.element(snippet),
            None => {
                let group = title.element(self.origin());
                match self.part_of_line(without_byte_order_mark(source)) {
                    Some(snippet) => group.element(Padding).element(snippet),
                    None => group,
                }
            }
        };
        if let Some(suggestion) = &self.suggestion {
            group = group.element(Level::HELP.message(suggestion));
        }
        let report: &[Group<'_>] = &[group];
        renderer(color).render(report)
    }

    fn origin(&self) -> Origin<'_> {
        let line = usize::try_from(self.line).unwrap_or(1);
        let column = usize::try_from(self.column).unwrap_or(1);
        Origin::path(&self.file).line(line).char_column(column)
    }

    /// The lines that belong to it; none where `source` is not what was compiled, or a line is too long.
    fn excerpt<'a>(&'a self, source: &'a str) -> Option<Snippet<'a, Annotation<'a>>> {
        let places = || std::iter::once(&self.range).chain(self.related.iter().map(|one| &one.range));
        let first = places().map(|range| range.start).min()?;
        let last = places().map(|range| range.start).max()?;
        let number = self.related.iter().map(|one| one.line).fold(self.line, u32::min);
        let start = source.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
        let end = last + line_length(source.get(last..)?);
        let lines = source.get(start..end)?;
        if places().any(|range| longest_line_at(source, range.start).is_none_or(|long| long > LONGEST_LINE)) {
            return None;
        }
        let mut snippet = Snippet::source(lines)
            .path(&self.file)
            .line_start(usize::try_from(number).ok()?)
            .annotation(AnnotationKind::Primary.span(on_one_line(source, &self.range, start)?));
        for one in &self.related {
            let span = on_one_line(source, &one.range, start)?;
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(&one.label));
        }
        Some(snippet)
    }

    /// The part of a very long line that is around the place. It has no path: the renderer would count the
    /// column from where the part starts.
    fn part_of_line<'a>(&self, source: &'a str) -> Option<Snippet<'a, Annotation<'a>>> {
        let (before, after) = source.split_at_checked(self.range.start)?;
        let before = before.get(before.rfind('\n').map_or(0, |at| at + 1)..)?;
        let after = after.get(..line_length(after))?;
        let start = self.range.start - last_characters(before, AROUND).len();
        let part = source.get(start..self.range.start + first_characters(after, AROUND).len())?;
        let span = on_one_line(part, &(self.range.start - start..self.range.end - start), 0);
        let caret = span.filter(|span| span.end <= part.len());
        let caret = caret.unwrap_or(self.range.start - start..part.len());
        Some(
            Snippet::source(part)
                .line_start(usize::try_from(self.line).ok()?)
                .annotation(AnnotationKind::Primary.span(caret)),
        )
    }
}

fn first_characters(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

fn last_characters(text: &str, count: usize) -> &str {
    let start = text.char_indices().rev().nth(count - 1).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or(text)
}

/// All of them, and a last line with how many there are. Empty where there are none.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], source: &str, color: Color) -> String {
    let Some(first) = diagnostics.first() else {
        return String::new();
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&diagnostic.render_in(source, color));
        text.push_str("\n\n");
    }
    let count = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
    let counts = [
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    text.push_str(&format!("{} in {}\n", counts.join(", "), first.file));
    text
}

fn counted(number: usize, word: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    }
}

const fn renderer(color: Color) -> Renderer {
    match color {
        Color::Never => Renderer::plain(),
        Color::Always => Renderer::styled(),
    }
}

/// The range within the excerpt that starts at `start`, cut to its first line: a caret under each line of a
/// long block would hide the place.
fn on_one_line(source: &str, range: &Range<usize>, start: usize) -> Option<Range<usize>> {
    let line_end = range.start + line_length(source.get(range.start..)?);
    let end = range.end.clamp(range.start, line_end.max(range.start));
    source.get(range.start..end)?;
    Some(range.start - start..end - start)
}

fn line_length(text: &str) -> usize {
    let line = text.find('\n').map_or(text, |end| &text[..end]);
    line.strip_suffix('\r').unwrap_or(line).len()
}

fn longest_line_at(source: &str, at: usize) -> Option<usize> {
    let start = source.get(..at)?.rfind('\n').map_or(0, |found| found + 1);
    Some(line_length(source.get(start..)?))
}
