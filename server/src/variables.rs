//! Files of variables: `NAME=VALUE`, one a line. A value may stand in `'...'`, as it is, or in `"..."`, with
//! `\n`, `\r`, `\t`, `\"`, `\$` and `\\`; in both over several lines. `#` begins a comment.

mod names;

pub use names::{check_secret, check_variable};

/// A variable of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its line, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What is wrong in a file. It holds nothing of the file: that may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line without `=`.
    #[error("it is no NAME=VALUE")]
    NoPair,
    /// Something else than a name before `=`.
    #[error("what is before `=` is no variable's name")]
    NoName,
    /// A quote that is not closed.
    #[error("there is no closing `{0}`")]
    Unclosed(char),
    /// More behind a quoted value than a comment.
    #[error("there is something after the closing quote")]
    AfterQuote,
}

/// Reads a file's text, in its order. A name may stand in it more than once.
///
/// # Errors
/// The first line that is wrong, and what it is.
pub fn read(text: &str) -> Result<Vec<Variable>, (usize, Malformed)> {
    let mut found = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let before = text.len() - rest.len();
        let line = 1 + text.get(..before).unwrap_or_default().matches('\n').count();
        let first = rest.lines().next().unwrap_or_default().trim();
        if first.is_empty() || first.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let (name, value) = rest
            .split_once('=')
            .filter(|(name, _)| !name.contains('\n'))
            .ok_or((line, Malformed::NoPair))?;
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        if !is_name(name) {
            return Err((line, Malformed::NoName));
        }
        let (value, after) = value_of(value).map_err(|why| (line, why))?;
        found.push(Variable {
            line,
            name: name.to_owned(),
            value,
        });
        rest = after;
    }
    Ok(found)
}

/// Whether a variable can have this name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(word) && !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// A value, and the text after its line.
fn value_of(text: &str) -> Result<(String, &str), Malformed> {
    let begin = text.trim_start_matches([' ', '\t']);
    let (value, after) = if let Some(quoted) = begin.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').ok_or(Malformed::Unclosed('\''))?;
        (value.to_owned(), after)
    } else if let Some(quoted) = begin.strip_prefix('"') {
        in_double_quotes(quoted).ok_or(Malformed::Unclosed('"'))?
    } else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        return Ok((without_comment(line).trim().to_owned(), after));
    };
    let (line, after) = after.split_once('\n').unwrap_or((after, ""));
    match line.trim() {
        "" => Ok((value, after)),
        comment if comment.starts_with('#') => Ok((value, after)),
        _ => Err(Malformed::AfterQuote),
    }
}

/// `#` begins a comment only after white space: values hold it.
fn without_comment(line: &str) -> &str {
    let mut last = ' ';
    for (at, letter) in line.char_indices() {
        if letter == '#' && last.is_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        last = letter;
    }
    line
}

fn in_double_quotes(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                plain @ ('"' | '\\' | '$') => value.push(plain),
                other => value.extend(['\\', other]),
            },
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |found: Variable| (found.name, found.value);
        read(text).unwrap().into_iter().map(pair).collect()
    }

    fn value(line: &str) -> String {
        let found = pairs(&format!("{line}\nNEXT=1\n"));
        assert_eq!(found.len(), 2, "{found:?}");
        found[0].1.clone()
    }

    #[test]
    fn a_line_is_a_name_and_a_value() {
        for (line, expected) in [
            ("A=b", "b"),
            ("export A=b", "b"),
            (" A = b c \r", "b c"),
            ("A=", ""),
            ("A=b=c", "b=c"),
            ("A=b#c # and why", "b#c"),
            ("A= # nothing", ""),
            ("A='b \"$c\" # d\ne' # f", "b \"$c\" # d\ne"),
            (r#"A="b\n\"c\" \$d \e" # f"#, "b\n\"c\" $d \\e"),
            ("A=\"b\nc=d\"", "b\nc=d"),
            ("A=$HOME", "$HOME"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_nothing() {
        assert_eq!(
            pairs("\u{feff}\n# A=1\n\n   \nB=2"),
            [("B".to_owned(), "2".to_owned())]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_value() {
        for (text, line) in [
            ("A=1\nhunter2\n", 2),
            ("1A=hunter2", 1),
            ("A='hunter2", 1),
            ("\nA=\"hunter2", 2),
            ("A='a'hunter2", 1),
        ] {
            let (at, why) = read(text).unwrap_err();

            assert_eq!(at, line, "{text}");
            assert!(!why.to_string().contains("hunter2"), "{why}");
        }
    }
}
