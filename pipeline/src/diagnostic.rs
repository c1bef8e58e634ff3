//! What is wrong with a config, and where.

use std::fmt;
use std::ops::Range;

use api::Cause;
use serde::{Serialize, Serializer};

use crate::source::{Source, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// There is no plan.
    Error,
    /// There is a plan, and it may not be what was meant.
    Warning,
}

/// Declares the codes with their words, so that a word cannot be forgotten.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What kind of mistake it is. The words are stable: kinds may be added, never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// It is no YAML.
    Syntax = "syntax",
    /// The file, or what it expands to, is too large.
    TooLarge = "too-large",
    /// Lists and mappings lie too deep in each other.
    TooDeep = "too-deep",
    /// More than one document in the file.
    SeveralDocuments = "several-documents",
    /// The same key twice in one mapping.
    DuplicateKey = "duplicate-key",
    /// A `<<` with something that cannot be merged.
    BadMerge = "bad-merge",
    /// A key that nobody knows.
    UnknownKey = "unknown-key",
    /// A step type that nobody knows.
    UnknownStep = "unknown-step",
    /// A job that does not exist.
    UnknownJob = "unknown-job",
    /// Text where a list belongs, and so on.
    WrongType = "wrong-type",
    /// Something that must be there is not.
    MissingKey = "missing-key",
    /// Something that must not be empty is.
    Empty = "empty",
    /// A value that is not allowed there.
    BadValue = "bad-value",
    /// Two things that exclude each other.
    Conflict = "conflict",
    /// Two jobs with one name.
    DuplicateJob = "duplicate-job",
    /// Jobs that require each other in a circle.
    Cycle = "cycle",
    /// CircleCI has it, and we do not yet.
    NotSupported = "not-supported",
    /// A number that loses something when it is read as one.
    QuoteIt = "quote-it",
    /// A job that no workflow runs.
    UnusedJob = "unused-job",
    /// Something that changes nothing.
    NoEffect = "no-effect",
    /// There is more of the same than is shown.
    TooMany = "too-many",
    /// The file cannot be read at all.
    Unreadable = "unreadable",
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// One error or warning. As JSON: `severity`, `code`, `message`, `file`, `line`, `column`, `suggestion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub code: Code,
    /// What is wrong, on one line.
    pub message: String,
    /// The config file, as it was named to [`compile`](crate::compile).
    pub file: String,
    /// The line, from 1; 0 for the file itself.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What to do about it.
    pub suggestion: Option<String>,
    /// The line on which it ends.
    #[serde(skip)]
    pub end_line: u32,
    /// The column after its last character.
    #[serde(skip)]
    pub end_column: u32,
    /// The same in bytes, without a byte order mark.
    #[serde(skip)]
    pub(crate) range: Range<usize>,
    /// Other places that belong to it.
    #[serde(skip)]
    pub(crate) related: Vec<Related>,
}

/// Another place that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Related {
    /// Its line.
    pub(crate) line: u32,
    /// Where.
    pub(crate) range: Range<usize>,
    /// What is there.
    pub(crate) label: String,
}

impl Diagnostic {
    /// A file that is no text after `before`, which is.
    pub(crate) fn no_text(file_name: &str, before: &str) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let line = number(before.split('\n').count());
        let last = before.rsplit('\n').next().unwrap_or_default();
        let column = number(last.chars().count()).saturating_add(1);
        Self {
            severity: Severity::Error,
            code: Code::Syntax,
            message: "this is no text in UTF-8".to_owned(),
            file: file_name.to_owned(),
            line,
            column,
            suggestion: Some("save the file in UTF-8".to_owned()),
            end_line: line,
            end_column: column,
            range: before.len()..before.len(),
            related: Vec::new(),
        }
    }

    /// A file that cannot be read; `message` says why.
    #[must_use]
    pub fn unreadable(file_name: &str, message: String) -> Self {
        Self {
            message,
            code: Code::Unreadable,
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            suggestion: None,
            ..Self::no_text(file_name, "")
        }
    }

    /// The cause of a pipeline that has no plan for this reason.
    #[must_use]
    pub fn to_cause(&self) -> Cause {
        self.to_cause_with_more(0)
    }

    /// The same, with how many more errors there are.
    #[must_use]
    pub fn to_cause_with_more(&self, more: usize) -> Cause {
        let message = match more {
            0 => self.message.clone(),
            more => format!("{} (and {more} more)", self.message),
        };
        Cause::Config {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            message,
        }
    }
}

/// A diagnostic in the making.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    severity: Severity,
    code: Code,
    span: Span,
    message: String,
    suggestion: Option<String>,
    related: Vec<(Span, String)>,
}

impl Problem {
    /// An error.
    pub(crate) fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            span,
            message: message.into(),
            suggestion: None,
            related: Vec::new(),
        }
    }

    /// A warning.
    pub(crate) fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    /// With what to do about it.
    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// With what to do about it, where that is known.
    pub(crate) fn suggest_if(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion.or(self.suggestion);
        self
    }

    /// With another place.
    pub(crate) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// What it is told apart by from all others: its kind, where it starts, and what it says.
    pub(crate) fn identity(&self) -> (Code, usize, String) {
        (self.code, self.span.start.offset, self.message.clone())
    }

    /// How bad it is.
    pub(crate) const fn severity(&self) -> Severity {
        self.severity
    }

    /// The finished diagnostic.
    pub(crate) fn finish(self, source: &Source) -> Diagnostic {
        let related = self.related.into_iter().map(|(span, label)| Related {
            line: span.start.line,
            range: range(span),
            label,
        });
        Diagnostic {
            severity: self.severity,
            code: self.code,
            message: self.message,
            file: source.file().to_owned(),
            line: self.span.start.line,
            column: self.span.start.column,
            suggestion: self.suggestion,
            end_line: self.span.end.line,
            end_column: self.span.end.column,
            range: range(self.span),
            related: related.collect(),
        }
    }
}

fn range(span: Span) -> Range<usize> {
    span.start.offset..span.end.offset.max(span.start.offset)
}

/// The longest text that a message quotes.
const QUOTED: usize = 60;

/// A text from the config as a message shows it: in back quotes, on one line, shortened, and without
/// characters that a terminal would act on.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    for (count, found) in text.chars().enumerate() {
        if count == QUOTED {
            quoted.push('…');
            break;
        }
        if found.is_control() || is_invisible(found) {
            quoted.extend(found.escape_default());
        } else {
            quoted.push(found);
        }
    }
    quoted.push('`');
    quoted
}

/// Characters that turn or hide what follows them.
const fn is_invisible(found: char) -> bool {
    matches!(found, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_has_its_own_word() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.word()).collect();

        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn a_quoted_text_is_short_and_harmless() {
        assert_eq!(quote("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
        assert_eq!(quote(&"x".repeat(99)).chars().count(), QUOTED + 3);
    }
}
