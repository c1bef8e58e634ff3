//! Text that others wrote, made harmless for a terminal and plain for a pipe.

/// What becomes of escape sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// All go.
    Remove,
    /// Colours stay; what moves the cursor, clears or retitles goes.
    KeepColours,
}

/// One line of output as it is shown: of what a progress bar overwrote only the last, without control
/// characters.
pub(crate) fn clean(line: &str, escapes: Escapes) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut cleaned = String::with_capacity(line.len());
    let mut coloured = false;
    let mut rest = line.chars();
    while let Some(found) = rest.next() {
        match found {
            '\u{1b}' => {
                if let Some(sequence) = escape(&mut rest)
                    && escapes == Escapes::KeepColours
                {
                    coloured = sequence != "\u{1b}[0m" && sequence != "\u{1b}[m";
                    cleaned.push_str(&sequence);
                }
            }
            '\t' => cleaned.push('\t'),
            found if found.is_control() => {}
            found => cleaned.push(found),
        }
    }
    if coloured {
        // The next line's prefix is ours.
        cleaned.push_str("\u{1b}[0m");
    }
    cleaned
}

/// Takes what follows an escape character; gives the whole sequence where it only sets colours. Source:
/// ECMA-48, 5.4 (control sequences) and 5.6 (control strings).
fn escape(rest: &mut std::str::Chars<'_>) -> Option<String> {
    match rest.next()? {
        '[' => {
            let mut sequence = "\u{1b}[".to_owned();
            for found in rest.by_ref() {
                sequence.push(found);
                if ('@'..='~').contains(&found) {
                    return (found == 'm').then_some(sequence);
                }
            }
            None
        }
        // A string, such as a title, up to BEL or ESC \.
        ']' | 'P' | 'X' | '^' | '_' => {
            let mut last = ' ';
            for found in rest.by_ref() {
                if found == '\u{7}' || (last == '\u{1b}' && found == '\\') {
                    break;
                }
                last = found;
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_no_escape_sequence_at_all() {
        let text = "\u{1b}[1;31merror\u{1b}[0m: \u{1b}]0;title\u{7}it\u{1b}[2K broke\u{8}\r";

        assert_eq!(clean(text, Escapes::Remove), "error: it broke");
    }

    #[test]
    fn a_terminal_keeps_colours_alone_and_they_end_with_the_line() {
        assert_eq!(
            clean("\u{1b}[31mred\u{1b}[2J", Escapes::KeepColours),
            "\u{1b}[31mred\u{1b}[0m"
        );
        assert_eq!(
            clean("\u{1b}[31mred\u{1b}[0m", Escapes::KeepColours),
            "\u{1b}[31mred\u{1b}[0m"
        );
    }

    #[test]
    fn of_a_progress_bar_only_the_last_state_is_shown() {
        assert_eq!(clean("10 %\r50 %\r100 %", Escapes::Remove), "100 %");
        assert_eq!(clean("plain\r", Escapes::Remove), "plain");
    }
}
