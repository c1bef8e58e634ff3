//! The part of a wide line that is shown around a place.

use std::ops::Range;

use unicode_width::UnicodeWidthChar as _;

/// A wider line is not shown whole, in columns of a terminal.
pub(super) const WIDEST: usize = 120;
/// How much of a wider line is shown before the place, in columns.
const BEFORE: usize = 40;
/// How much of it is shown altogether, in columns.
const SHOWN: usize = 100;
/// What stands for the rest of the line.
const CUT: char = '…';

/// Some of a line.
#[derive(Debug)]
pub(super) struct Window {
    /// What is shown.
    pub(super) text: String,
    /// Which part of the line that is, in bytes.
    part: Range<usize>,
    /// Where this part starts in the text.
    shift: usize,
}

impl Window {
    /// What is around a place in a line, given by its first byte. None where that is not in the line.
    pub(super) fn around(line: &str, place: usize) -> Option<Self> {
        let (before, after) = line.split_at_checked(place)?;
        let (start, used) = last_columns(before, BEFORE);
        let end = place + first_columns(after, SHOWN - used);
        let mut text = String::new();
        if start > 0 {
            text.push(CUT);
        }
        let shift = text.len();
        text.push_str(line.get(start..end)?);
        if end < line.len() {
            text.push(CUT);
        }
        Some(Self {
            text,
            part: start..end,
            shift,
        })
    }

    /// Where a place in the line is in the text, cut to what is shown. None where it does not start there.
    pub(super) fn place(&self, place: &Range<usize>) -> Option<Range<usize>> {
        let Range { start, end } = self.part;
        if place.start < start || place.start > end {
            return None;
        }
        let moved = |at: usize| at.clamp(place.start, end) - start + self.shift;
        Some(moved(place.start)..moved(place.end))
    }
}

/// Whether a line is wider than what is shown whole.
pub(super) fn is_wide(line: &str) -> bool {
    // A byte takes four columns at most: a tab does.
    line.len() > WIDEST / 4 && first_columns(line, WIDEST) < line.len()
}

/// What a character takes: as a tab and a control character are shown, and at least one, so that no number of
/// marks that take none makes a window large.
fn columns(found: char) -> usize {
    match found {
        '\t' => 4,
        _ => found.width().unwrap_or(1).max(1),
    }
}

/// The byte at which the text's last columns start, and how many they are.
fn last_columns(text: &str, most: usize) -> (usize, usize) {
    let mut used = 0;
    let mut start = text.len();
    for (at, found) in text.char_indices().rev() {
        if used + columns(found) > most {
            break;
        }
        used += columns(found);
        start = at;
    }
    // A mark belongs to the character before it.
    let orphans = |found: char| start > 0 && found.width() == Some(0);
    let rest = text.get(start..).unwrap_or_default();
    (text.len() - rest.trim_start_matches(orphans).len(), used)
}

/// The byte after the text's first columns.
fn first_columns(text: &str, most: usize) -> usize {
    let mut used = 0;
    for (at, found) in text.char_indices() {
        used += columns(found);
        if used > most {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(line: &str, place: &str) -> String {
        let at = line.find(place).expect("it is in the line");
        let window = Window::around(line, at).expect("it is in the line");
        let there = window.place(&(at..at + place.len())).expect("it is shown");
        assert_eq!(&window.text[there], place, "{window:?}");
        window.text
    }

    #[test]
    fn a_cut_is_marked_on_the_side_where_it_is() {
        let (a, b) = ("a".repeat(200), "b".repeat(200));

        assert_eq!(around(&format!("X{b}"), "X"), format!("X{}…", &b[..99]));
        assert_eq!(around(&format!("{a}X"), "X"), format!("…{}X", &a[..40]));
        assert_eq!(
            around(&format!("{a}X{b}"), "X"),
            format!("…{}X{}…", &a[..40], &b[..59])
        );
        assert_eq!(around("aaXbb", "X"), "aaXbb");
    }

    #[test]
    fn wide_characters_count_as_what_they_take() {
        let wide = "木".repeat(200);

        assert_eq!(
            around(&format!("{wide}X{wide}"), "X"),
            format!("…{}X{}…", "木".repeat(20), "木".repeat(29))
        );
        assert_eq!(
            around(&format!("{}X", "\t".repeat(99)), "X"),
            format!("…{}X", "\t".repeat(10))
        );
    }

    #[test]
    fn marks_without_a_width_make_no_window_large_and_follow_no_cut() {
        let line = format!("a{}X{}", "\u{301}".repeat(5000), "\u{301}".repeat(5000));

        let shown = around(&line, "X");

        assert!(shown.starts_with("…X"), "{shown}");
        assert!(shown.chars().count() < SHOWN + 3, "{shown}");
    }

    #[test]
    fn a_place_that_is_cut_ends_at_the_cut() {
        let key = "k".repeat(50_000);

        let window = Window::around(&key, 0).expect("it is in the line");

        assert_eq!(window.place(&(0..key.len())), Some(0..100));
        assert_eq!(window.place(&(200..300)), None);
        assert_eq!(window.text.chars().count(), 101);
    }

    #[test]
    fn a_line_is_wide_by_its_columns() {
        assert!(!is_wide(&"ü".repeat(WIDEST)));
        assert!(is_wide(&"ü".repeat(WIDEST + 1)));
        assert!(is_wide(&"木".repeat(61)));
        assert!(is_wide(&"\t".repeat(31)));
        assert!(!is_wide(&"\t".repeat(30)));
    }
}
