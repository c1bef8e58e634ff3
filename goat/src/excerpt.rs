//! The beginning and the end of a long text, for a message.

/// How much of each end is kept.
const KEPT: usize = 160;

/// What a stream has said, of which only the ends are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    omitted: usize,
}

impl Excerpt {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.omitted = self.omitted.saturating_add(excess);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Both ends, with what is missing between them.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut text = self.head.clone();
        if self.omitted > 0 {
            text.extend_from_slice(format!("\n... omitting {} bytes ...\n", self.omitted).as_bytes());
        }
        text.extend_from_slice(&self.tail);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_both_ends_together_nothing_is_omitted() {
        let mut excerpt = Excerpt::default();

        excerpt.push(&[b'a'; 320]);

        assert_eq!(excerpt.render(), [b'a'; 320]);
    }

    #[test]
    fn the_middle_is_counted_however_the_text_arrives() {
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let expected = [&text[..160], b"\n... omitting 680 bytes ...\n", &text[840..]].concat();
        for size in [1, 7, 160, 321, 1000] {
            let mut excerpt = Excerpt::default();

            text.chunks(size).for_each(|part| excerpt.push(part));

            assert_eq!(excerpt.render(), expected, "in parts of {size}");
        }
    }
}
