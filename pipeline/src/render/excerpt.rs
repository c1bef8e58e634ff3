//! The lines that belong to a diagnostic.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Snippet};

use super::window::{Window, is_wide};
use crate::diagnostic::Diagnostic;

/// Some lines of the source, and the places in them.
#[derive(Debug)]
pub(super) struct Excerpt<'a> {
    lines: Cow<'a, str>,
    first_line: usize,
    /// The diagnostic's own place, without a label, and the others; in bytes of the lines.
    places: Vec<(Range<usize>, Option<&'a str>)>,
    /// Whether columns in the lines are no columns in the source.
    pub(super) is_cut: bool,
}

impl<'a> Excerpt<'a> {
    /// From the first of the diagnostic's places to the last. None where `source` is not what was compiled.
    pub(super) fn of(diagnostic: &'a Diagnostic, source: &'a str) -> Option<Self> {
        let own = std::iter::once((diagnostic.line, &diagnostic.range, None));
        let related = diagnostic.related.iter();
        let related = related.map(|one| (one.line, &one.range, Some(one.label.as_str())));
        let places: Vec<_> = own.chain(related).collect();
        let first = places.iter().map(|(_, range, _)| range.start).min()?;
        let last = places.iter().map(|(_, range, _)| range.start).max()?;
        let first_line = places.iter().map(|(line, ..)| *line).min()?;
        let start = source.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
        let end = last + line_length(source.get(last..)?);
        let places = places
            .into_iter()
            .map(|(_, range, label)| Some((on_one_line(source, range, start)?, label)));
        let whole = Self {
            lines: Cow::Borrowed(source.get(start..end)?),
            first_line: usize::try_from(first_line).ok()?,
            places: places.collect::<Option<_>>()?,
            is_cut: false,
        };
        if whole.lines.split('\n').any(is_wide) {
            whole.cut()
        } else {
            Some(whole)
        }
    }

    /// The same with windows in place of lines that are too wide. A place that is in none is left out.
    fn cut(self) -> Option<Self> {
        let mut lines = String::new();
        let mut places = Vec::new();
        let mut start = 0;
        for line in self.lines.split('\n') {
            if start > 0 {
                lines.push('\n');
            }
            let end = start + line.len();
            let here = self
                .places
                .iter()
                .filter(|(place, _)| (start..=end).contains(&place.start));
            let here: Vec<_> = here
                .map(|(place, label)| (place.start - start..place.end - start, *label))
                .collect();
            let shift = lines.len();
            if is_wide(line) {
                // The diagnostic's own place comes first.
                let middle = here.first().map_or(0, |(place, _)| place.start);
                let window = Window::around(line, middle)?;
                let shown = here.into_iter().filter_map(|(place, label)| {
                    let place = window.place(&place)?;
                    Some((place.start + shift..place.end + shift, label))
                });
                places.extend(shown);
                lines.push_str(&window.text);
            } else {
                let moved =
                    |(place, label): (Range<usize>, _)| (place.start + shift..place.end + shift, label);
                places.extend(here.into_iter().map(moved));
                lines.push_str(line);
            }
            start = end + 1;
        }
        Some(Self {
            lines: Cow::Owned(lines),
            places,
            is_cut: true,
            ..self
        })
    }

    /// What the renderer shows.
    pub(super) fn snippet(&self) -> Snippet<'_, Annotation<'_>> {
        let annotations = self.places.iter().map(|(place, label)| {
            let kind = match label {
                None => AnnotationKind::Primary,
                Some(_) => AnnotationKind::Context,
            };
            kind.span(place.clone()).label(*label)
        });
        Snippet::source(&*self.lines)
            .line_start(self.first_line)
            .annotations(annotations)
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
