//! Diagnostics for people: file, line and column, the line itself with a caret, and what to do.

mod excerpt;
mod window;

use annotate_snippets::{Group, Level, Origin, Renderer};

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::without_byte_order_mark;
use excerpt::Excerpt;
use window::WIDEST;

/// No line that is shown is wider, so the renderer has nothing to cut.
const TERMINAL: usize = 2 * WIDEST;

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
        let source = without_byte_order_mark(source);
        let excerpt = Excerpt::of(self, source);
        let mut group = match &excerpt {
            Some(excerpt) if !excerpt.is_cut => title.element(excerpt.snippet().path(&self.file)),
            // Without a path: the renderer would count the column from where the window starts.
            Some(excerpt) => title.element(self.origin()).element(excerpt.snippet()),
            None => title.element(self.origin()),
        };
        if let Some(suggestion) = &self.suggestion {
            group = group.element(Level::HELP.message(suggestion));
        }
        let report: &[Group<'_>] = &[group];
        let rendered = renderer(color).render(report);
        match excerpt {
            Some(excerpt) if excerpt.is_cut => without_other_file(&rendered),
            _ => rendered,
        }
    }

    fn origin(&self) -> Origin<'_> {
        let line = usize::try_from(self.line).unwrap_or(1);
        let column = usize::try_from(self.column).unwrap_or(1);
        Origin::path(&self.file).line(line).char_column(column)
    }
}

/// Without the line that marks an excerpt as one of another file.
fn without_other_file(rendered: &str) -> String {
    let (head, rest) = rendered.split_at(
        rendered
            .match_indices('\n')
            .nth(2)
            .map_or(rendered.len(), |(at, _)| at),
    );
    let marker = rest
        .get(1..)
        .and_then(|rest| rest.split('\n').next())
        .unwrap_or_default();
    match marker.contains(":::") {
        true => format!("{head}{}", &rest[1 + marker.len()..]),
        false => rendered.to_owned(),
    }
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
    .term_width(TERMINAL)
}
