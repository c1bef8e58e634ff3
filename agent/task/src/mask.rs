//! Masking: secrets do not leave the container in the output.
//!
//! Output is a stream that comes in pieces, so a secret may lie across their borders: a [`Masker`] holds back
//! the bytes that may still turn out to be the start of one. Every byte that belongs to any occurrence of any
//! form of a secret is covered, and each covered stretch becomes [`STARS`].
//!
//! A secret is looked for twice: in the bytes as they are, and in what is left of them once colours and control
//! characters are taken out, because whoever shows a log takes them out (`grep --color` puts them into a word).

mod automaton;
mod forms;
mod unseen;

use std::ops::Range;
use std::sync::Arc;

use automaton::{Automaton, State};
use unseen::Unseen;

/// What is shown instead of a secret.
const STARS: &[u8] = b"****";
/// So many bytes that are not shown may lie within a secret; this bounds what is held back.
const MOST_UNSEEN: usize = 4096;

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
            shown: State::START,
            unseen: Unseen::default(),
            gaps: Vec::new(),
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
    /// Of the bytes as they are.
    state: State,
    /// Of the bytes that are shown.
    shown: State,
    unseen: Unseen,
    /// Where in `held` the bytes are that are not shown, in order.
    gaps: Vec<usize>,
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
        if self.held.is_empty() && self.state == State::START && self.unseen.is_outside() {
            // Nothing is open: what cannot start a secret goes out as it is.
            let plain = unseen::first(rest).unwrap_or(rest.len());
            let plain = rest.get(..plain).unwrap_or_default();
            let (decided, undecided) = rest.split_at(self.automaton.indifferent(plain));
            if !decided.is_empty() {
                out.extend_from_slice(decided);
                self.within = false;
            }
            rest = undecided;
        }
        let begin = self.held.len();
        self.held.extend_from_slice(rest);
        for (end, &byte) in (begin + 1..).zip(rest) {
            let was_shown = self.shown == self.state;
            self.state = self.automaton.step(self.state, byte);
            let length = self.automaton.match_length(self.state);
            if length > 0 {
                self.cover(end.saturating_sub(length)..end);
            }
            if self.unseen.takes(byte) {
                self.gaps.push(end - 1);
                continue;
            }
            self.shown = if was_shown {
                self.state
            } else {
                self.automaton.step(self.shown, byte)
            };
            let length = self.automaton.match_length(self.shown);
            if length > 0 && !self.gaps.is_empty() {
                self.cover(self.back(end, length)..end);
            }
        }
        if self.gaps.len() > MOST_UNSEEN {
            self.shown = self.state;
            self.gaps.clear();
        }
        let undecided = self.held.len() - self.automaton.depth(self.state).min(self.held.len());
        let open = self.back(self.held.len(), self.automaton.depth(self.shown));
        self.release(undecided.min(open), out);
    }

    /// Where in `held` so many bytes that are shown begin, which end at `end`.
    fn back(&self, end: usize, shown: usize) -> usize {
        let mut start = end.saturating_sub(shown);
        // Behind the last one that is shown no byte counts, so only those from `start` on do.
        for gap in self.gaps.iter().rev().filter(|gap| **gap < end) {
            if *gap < start || shown == 0 {
                break;
            }
            start = start.saturating_sub(1);
        }
        start
    }

    /// The stream is over: appends the rest.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.held.len(), out);
        self.state = State::START;
        self.shown = State::START;
        self.unseen = Unseen::default();
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
        self.gaps.retain_mut(|gap| {
            let stays = *gap >= count;
            *gap = gap.saturating_sub(count);
            stays
        });
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
