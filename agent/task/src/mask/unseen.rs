//! Bytes that nobody sees in a log: control characters of ASCII and escape sequences (ECMA-48, 5.4 and 5.6), as far as
//! `cli/src/output/terminal.rs` takes them out.

/// ESC, which begins a sequence.
const ESCAPE: u8 = 0x1b;
/// BEL, which ends a string as well.
const BELL: u8 = 0x07;

/// Where in an escape sequence a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Unseen {
    /// In none.
    #[default]
    Outside,
    /// Behind ESC.
    Escaped,
    /// In a control sequence: anything up to a letter or the like (0x40 to 0x7e).
    Sequence,
    /// In a string such as a title, to BEL or ESC and a backslash.
    String,
}

impl Unseen {
    pub(super) fn is_outside(self) -> bool {
        self == Self::Outside
    }

    /// Takes the next byte, and says whether it is one that nobody sees.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let before = *self;
        *self = match (before, byte) {
            // A line ends everything.
            (_, b'\n' | b'\r') => Self::Outside,
            (_, ESCAPE) => Self::Escaped,
            (Self::Escaped, b'[') => Self::Sequence,
            (Self::Escaped, b']' | b'P' | b'X' | b'^' | b'_') => Self::String,
            (Self::Sequence, byte) if !(0x40..=0x7e).contains(&byte) => Self::Sequence,
            (Self::String, byte) if byte != BELL => Self::String,
            _ => Self::Outside,
        };
        match byte {
            b'\n' | b'\r' => false,
            ESCAPE => true,
            _ if before != Self::Outside => true,
            byte => byte != b'\t' && byte.is_ascii_control(),
        }
    }
}

/// Where the first byte is that nobody sees.
pub(super) fn first(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .position(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t'))
}
