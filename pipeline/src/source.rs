//! The config's text, and places in it.

/// The byte order mark that some editors put first. It is no part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Position {
    /// In bytes, from 0.
    pub(crate) offset: usize,
    /// From 1.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
}

/// A part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Span {
    /// Its first character.
    pub(crate) start: Position,
    /// What comes after its last one.
    pub(crate) end: Position,
}

impl Span {
    /// From the start of `self` to the start of `end`.
    pub(crate) const fn until(self, end: Position) -> Self {
        Self {
            start: self.start,
            end,
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spanned<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it was written.
    pub(crate) span: Span,
}

/// The text with what is needed to find places in it quickly.
#[derive(Debug)]
pub(crate) struct Source {
    file: String,
    text: String,
    /// The character at which each line starts.
    lines: Vec<usize>,
    /// The byte at which each character starts, and the text's length last; none for ASCII.
    characters: Option<Vec<usize>>,
}

impl Source {
    /// Takes a file's text.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let text = without_byte_order_mark(text);
        let breaks = text.chars().enumerate().filter(|(_, found)| *found == '\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let characters = (!text.is_ascii()).then(|| {
            let starts = text.char_indices().map(|(byte, _)| byte);
            starts.chain([text.len()]).collect()
        });
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            lines,
            characters,
        }
    }

    /// The file's name, for people.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text between two places.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start.offset..span.end.offset).unwrap_or("")
    }

    /// The very start.
    pub(crate) const fn start(&self) -> Span {
        let start = Position {
            offset: 0,
            line: 1,
            column: 1,
        };
        Span { start, end: start }
    }

    /// The place of a character, counted from 0. Beyond the text: its end.
    pub(crate) fn position_of_character(&self, character: usize) -> Position {
        let (character, offset) = match &self.characters {
            None => {
                let at = character.min(self.text.len());
                (at, at)
            }
            Some(starts) => {
                let at = character.min(starts.len() - 1);
                (at, starts[at])
            }
        };
        let number = self.lines.partition_point(|start| *start <= character);
        let start = self.lines[number - 1];
        Position {
            offset,
            line: small(number),
            column: small(character - start + 1),
        }
    }

    /// The place of a byte that starts a character. Beyond the text: its end.
    pub(crate) fn position_of_byte(&self, byte: usize) -> Position {
        let character = match &self.characters {
            None => byte,
            Some(starts) => starts.partition_point(|start| *start < byte),
        };
        self.position_of_character(character)
    }
}

/// The text as all places in it are counted.
pub(crate) fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_offsets_bytes() {
        let source = Source::new("f", "é: x\nü: yß\n");

        let place = source.position_of_character(9);

        assert_eq!((place.line, place.column, place.offset), (2, 5, 11));
        assert_eq!(source.position_of_byte(11), place);
    }

    #[test]
    fn a_place_beyond_the_text_is_its_end() {
        for text in ["", "a", "a\n", "é"] {
            let source = Source::new("f", text);

            assert_eq!(source.position_of_character(99).offset, text.len());
            assert_eq!(source.position_of_byte(99).offset, text.len());
        }
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let source = Source::new("f", "\u{feff}a: b");

        assert_eq!(source.text(), "a: b");
    }
}
