//! Reads nodes as what a key allows, and collects what is wrong.

mod value;

use std::collections::HashSet;

use crate::diagnostic::{Code, Diagnostic, Problem, Severity, quote};
use crate::source::{Source, Span};
use crate::suggest;
use crate::tree::{Entry, Kind, Node};

/// The most errors, and the most warnings, that are shown.
const MOST: usize = 100;
/// The most names that are compared in search of suggestions; a hostile config could ask for millions.
const COMPARISONS: usize = 200_000;

/// What an unknown key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownKeys {
    /// An error.
    Refused,
    /// A warning: the file was written for a service that knows more keys.
    Warned,
}

impl UnknownKeys {
    /// What a file's name decides.
    pub(crate) fn of_file(name: &str) -> Self {
        let mut parts = name.rsplit(['/', '\\']);
        if parts.next() == Some("config.yml") && parts.next() == Some(".circleci") {
            Self::Warned
        } else {
            Self::Refused
        }
    }
}

/// Whether `<< parameters.x >>` is an expression in this config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expressions {
    /// It is.
    Meant,
    /// Versions 2 and 2.0 have none: it is text.
    Text,
}

/// What keys beside a schema's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// Unknown, and so reported.
    Unknown,
    /// Names that the config gives.
    Taken,
}

/// The keys of a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// What it is, with its article: `a job`.
    pub(crate) what: &'static str,
    /// The keys that it may have.
    pub(crate) keys: &'static [&'static str],
    /// Keys that CircleCI has there, and we do not yet.
    pub(crate) later: &'static [&'static str],
}

/// A mapping that was held against its schema.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    misspelt: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The entry of a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Whether a key is missing and no reported misspelling can be it.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        self.entry(key).is_none() && !self.misspelt.contains(&key)
    }
}

/// Collects what is wrong, and knows what the file allows.
#[derive(Debug)]
pub(crate) struct Checker<'s> {
    source: &'s Source,
    unknown_keys: UnknownKeys,
    expressions: Expressions,
    found: Vec<Diagnostic>,
    seen: HashSet<(Code, usize, String)>,
    errors: usize,
    warnings: usize,
    comparisons: usize,
}

impl<'s> Checker<'s> {
    /// For a config in which nothing was found yet.
    pub(crate) fn new(source: &'s Source, unknown_keys: UnknownKeys) -> Self {
        Self {
            source,
            unknown_keys,
            expressions: Expressions::Meant,
            found: Vec::new(),
            seen: HashSet::new(),
            errors: 0,
            warnings: 0,
            comparisons: COMPARISONS,
        }
    }

    /// The text.
    pub(crate) const fn source(&self) -> &'s Source {
        self.source
    }

    /// Decides what `<< >>` is from here on.
    pub(crate) const fn set_expressions(&mut self, expressions: Expressions) {
        self.expressions = expressions;
    }

    /// Takes a problem. The same one at the same place, found again through an alias, counts once.
    pub(crate) fn report(&mut self, problem: Problem) {
        let count = match problem.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        let identity = problem.identity();
        if self.seen.contains(&identity) {
            return;
        }
        *count += 1;
        if *count <= MOST {
            self.seen.insert(identity);
            self.found.push(problem.finish(self.source));
        }
    }

    /// Whether there is an error already.
    pub(crate) const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether another error would be shown. Where not, its suggestion need not be looked for.
    pub(crate) const fn has_room(&self) -> bool {
        self.errors < MOST
    }

    /// All that was found, in the order of its places.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|one| (one.range.start, one.severity));
        let hidden = [(self.errors, "error"), (self.warnings, "warning")];
        for (count, word) in hidden {
            let Some(last) = self.found.last() else { break };
            if count > MOST {
                let message = format!("{} more {word}s are not shown", count - MOST);
                let mut more = last.clone();
                more.severity = if word == "error" {
                    Severity::Error
                } else {
                    Severity::Warning
                };
                more.code = Code::TooMany;
                more.message = message;
                more.suggestion = None;
                more.related.clear();
                self.found.push(more);
            }
        }
        self.found
    }

    /// `did you mean ...?`, where a candidate is near.
    pub(crate) fn did_you_mean<'a, I>(&mut self, word: &str, candidates: I) -> Option<String>
    where
        I: IntoIterator<Item = &'a str>,
    {
        self.nearest(word, candidates)
            .map(|near| format!("did you mean {}?", quote(near)))
    }

    fn nearest<'a>(&mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let left = &mut self.comparisons;
        let within_budget = candidates.into_iter().take_while(|_| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        suggest::nearest(word, within_budget)
    }

    /// `X is not supported yet`.
    pub(crate) fn not_supported(&mut self, span: Span, what: &str) {
        self.not_supported_but(span, what, None);
    }

    /// The same, with what does it today.
    pub(crate) fn not_supported_but(&mut self, span: Span, what: &str, instead: Option<&str>) {
        let problem = Problem::error(Code::NotSupported, span, format!("{what} is not supported yet"));
        self.report(problem.suggest_if(instead.map(str::to_owned)));
    }

    /// Holds a mapping against its schema. None, and reported, where it is no mapping.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, schema: &Schema) -> Option<Fields<'n>> {
        self.fields_and(node, schema, Others::Unknown)
    }

    /// The same, where other keys may stand beside the schema's.
    pub(crate) fn fields_and<'n>(
        &mut self,
        node: &'n Node,
        schema: &Schema,
        others: Others,
    ) -> Option<Fields<'n>> {
        let entries = self.mapping(node, schema.what)?;
        let mut misspelt = Vec::new();
        for entry in entries {
            let key = &*entry.key;
            if schema.keys.contains(&key) {
                continue;
            }
            if schema.later.contains(&key) {
                self.not_supported(entry.key_span, &format!("{} in {}", quote(key), schema.what));
                continue;
            }
            if key.starts_with("x-") || others == Others::Taken {
                continue;
            }
            misspelt.extend(self.unknown_key(entry, schema));
        }
        Some(Fields { entries, misspelt })
    }

    /// Reports an unknown key; gives the key that was probably meant, where it then need not be missed too.
    pub(crate) fn unknown_key(&mut self, entry: &Entry, schema: &Schema) -> Option<&'static str> {
        let near = self.nearest(&entry.key, schema.keys.iter().copied());
        let suggestion = match near {
            Some(near) => format!("did you mean {}?", quote(near)),
            None => format!("{} has: {}", schema.what, schema.keys.join(", ")),
        };
        let message = format!("unknown key {} in {}", quote(&entry.key), schema.what);
        let problem = match self.unknown_keys {
            UnknownKeys::Refused => Problem::error(Code::UnknownKey, entry.key_span, message),
            UnknownKeys::Warned => Problem::warning(Code::UnknownKey, entry.key_span, message),
        };
        self.report(problem.suggest(suggestion));
        near.filter(|_| self.unknown_keys == UnknownKeys::Refused)
    }

    /// The entries of a mapping. None, and reported, where it is none.
    pub(crate) fn mapping<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Mapping(entries) => Some(entries),
            _ => {
                self.wrong_type(node, what, "a mapping", None);
                None
            }
        }
    }

    /// The items of a list. None, and reported, where it is none.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::Sequence(items) => Some(items),
            _ => {
                let hint = (!node.is_nothing()).then_some("start each item with `- `");
                self.wrong_type(node, what, "a list", hint);
                None
            }
        }
    }

    /// Reports that something is not what it must be.
    pub(crate) fn wrong_type(&mut self, node: &Node, what: &str, expected: &str, hint: Option<&str>) {
        let message = format!("{what} must be {expected}, but this is {}", node.what());
        let mut problem = Problem::error(Code::WrongType, node.span, message);
        if let Some(defined) = node.defined {
            problem = problem.related(defined, "defined here");
        }
        self.report(problem.suggest_if(hint.map(str::to_owned)));
    }

    /// Reports that a key is missing from a mapping.
    pub(crate) fn missing(&mut self, span: Span, what: &str, key: &str, hint: &str) {
        let message = format!("{what} has no {}", quote(key));
        self.report(Problem::error(Code::MissingKey, span, message).suggest(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_circleci_files_may_have_unknown_keys() {
        assert_eq!(UnknownKeys::of_file(".ci.yml"), UnknownKeys::Refused);
        assert_eq!(UnknownKeys::of_file("config.yml"), UnknownKeys::Refused);
        assert_eq!(UnknownKeys::of_file(".circleci/config.yml"), UnknownKeys::Warned);
        assert_eq!(
            UnknownKeys::of_file("/a/.circleci/config.yml"),
            UnknownKeys::Warned
        );
    }
}
