//! Masking: secrets do not leave the container in the output.
//!
//! Output is a stream that comes in pieces, so a secret may lie across their borders: a [`Masker`] holds back
//! the bytes that may still turn out to be the start of one. Every byte that belongs to any occurrence of any
//! form of a secret is covered, and each covered stretch becomes [`STARS`].

mod automaton;
mod forms;

use std::ops::Range;
use std::sync::Arc;

use automaton::{Automaton, State};

/// What is shown instead of a secret.
const STARS: &[u8] = b"****";

/// The secrets of one task. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Masks(Arc<Automaton>);

impl Masks {
    /// Masks these values, in all their forms.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Arc::new(Automaton::new(
            values.into_iter().flat_map(forms::forms),
        )))
    }

    /// Whether anything of a value is masked: short values and truth values would cover ordinary words.
    pub(crate) fn cover(value: &str) -> bool {
        forms::has_some(value)
    }

    /// A masker for one stream.
    pub(crate) fn masker(&self) -> Masker {
        Masker {
            automaton: Arc::clone(&self.0),
            state: State::START,
            held: Vec::new(),
            covered: Vec::new(),
            within: false,
        }
    }

    /// Masks a text that is there in full.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut masker = self.masker();
        let mut out = Vec::new();
        masker.feed(text.as_bytes(), &mut out);
        masker.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Masks one stream.
#[derive(Debug)]
pub(crate) struct Masker {
    automaton: Arc<Automaton>,
    state: State,
    /// What may still be part of a secret.
    held: Vec<u8>,
    /// What of it is part of a secret: in order, neither touching nor overlapping.
    covered: Vec<Range<usize>>,
    /// Whether the last byte that was let go was covered.
    within: bool,
}

impl Masker {
    /// Takes the next bytes and appends to `out` what is decided.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        if self.held.is_empty() && self.state == State::START {
            // Nothing is open: what cannot start a secret goes out as it is.
            let (decided, undecided) = rest.split_at(self.automaton.indifferent(rest));
            if !decided.is_empty() {
                out.extend_from_slice(decided);
                self.within = false;
            }
            rest = undecided;
        }
        let begin = self.held.len();
        self.held.extend_from_slice(rest);
        for (end, &byte) in (begin + 1..).zip(rest) {
            self.state = self.automaton.step(self.state, byte);
            let length = self.automaton.match_length(self.state);
            if length > 0 {
                self.cover(end.saturating_sub(length)..end);
            }
        }
        let undecided = self.automaton.depth(self.state).min(self.held.len());
        self.release(self.held.len() - undecided, out);
    }

    /// The stream is over: appends the rest.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.held.len(), out);
        self.state = State::START;
    }

    /// Matches come by rising end, so only the last stretches can touch a new one.
    fn cover(&mut self, mut range: Range<usize>) {
        while let Some(last) = self.covered.last() {
            if last.end < range.start {
                break;
            }
            range.start = range.start.min(last.start);
            self.covered.pop();
        }
        self.covered.push(range);
    }

    fn release(&mut self, count: usize, out: &mut Vec<u8>) {
        let mut at = 0;
        let mut kept = Vec::new();
        for range in std::mem::take(&mut self.covered) {
            let (start, end) = (range.start.min(count), range.end.min(count));
            if start < end {
                self.copy(at..start, out);
                if !self.within {
                    out.extend_from_slice(STARS);
                    self.within = true;
                }
                at = end;
            }
            if range.end > count {
                kept.push(range.start.saturating_sub(count)..range.end - count);
            }
        }
        self.copy(at..count, out);
        self.covered = kept;
        self.held.drain(..count);
    }

    fn copy(&mut self, range: Range<usize>, out: &mut Vec<u8>) {
        if !range.is_empty() {
            out.extend_from_slice(self.held.get(range).unwrap_or_default());
            self.within = false;
        }
    }
}

#[cfg(test)]
mod tests;
