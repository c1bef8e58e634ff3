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
        for &byte in input {
            self.held.push(byte);
            self.state = self.automaton.step(self.state, byte);
            let length = self.automaton.match_length(self.state);
            if length > 0 {
                let end = self.held.len();
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let masks = Masks::new(secrets.iter().copied());
        let mut masker = masks.masker();
        let mut out = Vec::new();
        for piece in pieces {
            masker.feed(piece, &mut out);
        }
        masker.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_secret_is_covered_wherever_the_pieces_end() {
        let text = b"before hunter2 after hunter";
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);

            assert_eq!(masked(&["hunter2"], &[a, b]), "before **** after hunter", "{cut}");
        }
    }

    #[test]
    fn secrets_that_overlap_become_one_stretch() {
        assert_eq!(masked(&["abcdef", "defghi"], &[b"xabc", b"defghiy"]), "x****y");
    }

    #[test]
    fn each_line_of_a_long_value_is_covered() {
        assert_eq!(
            masked(&["first line\nsecond line\n}"], &[b"echo second line", b" }"]),
            "echo **** }"
        );
    }

    #[test]
    fn words_that_are_too_common_to_hide_stay() {
        assert_eq!(
            masked(&["true", "abc", "FALSE", ""], &[b"true abc false"]),
            "true abc false"
        );
    }

    #[test]
    fn encoded_forms_are_covered() {
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let secret = "p@ss w/rd-long-enough";

        for text in [
            encode(secret),
            encode(&format!("{secret}\n")),
            encode(&format!("user:{secret}")),
            encode(&format!("ab{secret}x")),
            "p%40ss%20w%2Frd-long-enough".to_owned(),
            "p%40ss%20w%2frd-long-enough".to_owned(),
            "p%40ss+w%2Frd-long-enough".to_owned(),
        ] {
            let shown = masked(&[secret], &[text.as_bytes()]);

            assert!(shown.contains("****"), "{text} became {shown}");
            assert!(shown.len() < text.len() / 2, "{text} became {shown}");
        }
    }

    #[test]
    fn a_prompt_without_an_end_of_line_is_not_held_back() {
        let masks = Masks::new(["hunter2"]);
        let mut out = Vec::new();

        masks.masker().feed(b"Password: ", &mut out);

        assert_eq!(out, b"Password: ");
    }

    /// The slow and obvious way: cover every occurrence, then put stars.
    fn plainly(secrets: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
        let mut covered = vec![false; text.len()];
        for secret in secrets {
            for (at, window) in text.windows(secret.len()).enumerate() {
                if window == secret.as_slice() {
                    covered[at..at + secret.len()].fill(true);
                }
            }
        }
        let mut out = Vec::new();
        let mut within = false;
        for (byte, hidden) in text.iter().zip(covered) {
            if !hidden {
                out.push(*byte);
            } else if !within {
                out.extend_from_slice(STARS);
            }
            within = hidden;
        }
        out
    }

    proptest! {
        #[test]
        fn in_pieces_it_is_the_same_as_the_obvious_way(
            secrets in prop::collection::vec(prop::collection::vec(b'a'..=b'c', 1..6), 0..4),
            pieces in prop::collection::vec(prop::collection::vec(b'a'..=b'd', 0..8), 0..12),
        ) {
            let masks = Masks(Arc::new(Automaton::new(secrets.clone())));
            let mut masker = masks.masker();
            let mut out = Vec::new();

            for piece in &pieces {
                masker.feed(piece, &mut out);
            }
            masker.finish(&mut out);

            prop_assert_eq!(out, plainly(&secrets, &pieces.concat()));
        }

        #[test]
        fn what_holds_no_secret_comes_through_byte_by_byte(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
        ) {
            let masks = Masks::new(["a secret that does not occur by chance"]);
            let mut masker = masks.masker();
            let mut out = Vec::new();

            for piece in &pieces {
                masker.feed(piece, &mut out);
            }
            masker.finish(&mut out);

            prop_assert_eq!(out, pieces.concat());
        }
    }
}
