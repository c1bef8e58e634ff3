//! A value as shells write it: what `set`, `set -x`, `declare -p`, `export -p` and `printf %q` print.
//!
//! Quotes around it are no part of it, nor is a backslash before it; so the forms hold for each line of a value,
//! and for a value that is part of a longer one.

/// What `printf %q` of bash puts a backslash before.
const MARKED: &str = " !\"$&'()*,;<>?[\\]^`{|}";
/// What has a meaning in double quotes.
const IN_DOUBLE_QUOTES: &str = "\"$\\`";

/// All these forms.
pub(super) fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![
        // bash, zsh and `set -x`.
        text.replace('\'', r"'\''"),
        // Python's `shlex.quote`, and dash and busybox, which keep quotes that follow each other together.
        text.replace('\'', r#"'"'"'"#),
        with_quotes_together(text),
        with_backslashes(text, |letter, _| IN_DOUBLE_QUOTES.contains(letter)),
        with_backslashes(text, |letter, before| {
            MARKED.contains(letter) || letter == '~' && matches!(before, Some(':' | '='))
        }),
    ];
    forms.extend([Others::Kept, Others::Octal].map(|others| with_escapes(text, others)));
    forms
}

fn with_quotes_together(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\'') {
        let (before, after) = rest.split_at(at);
        let unquoted = after.trim_start_matches('\'');
        let quotes = &after[..after.len() - unquoted.len()];
        out.extend([before, "'\"", quotes, "\""]);
        // Where a value ends in quotes dash opens none again.
        if !unquoted.is_empty() {
            out.push('\'');
        }
        rest = unquoted;
    }
    out + rest
}

/// `is_marked` is asked about each character and the one before it.
fn with_backslashes(text: &str, is_marked: fn(char, Option<char>) -> bool) -> String {
    let mut out = String::new();
    let mut before = None;
    for letter in text.chars() {
        if is_marked(letter, before) {
            out.push('\\');
        }
        out.push(letter);
        before = Some(letter);
    }
    out
}

/// What becomes of letters beyond ASCII in `$'...'`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// They stay, where the locale has them.
    Kept,
    /// Their bytes are escaped, where it has none, as in most containers.
    Octal,
}

/// As between `$'` and `'`, which bash uses where a character cannot be printed.
fn with_escapes(text: &str, others: Others) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str(r"\\"),
            '\'' => out.push_str(r"\'"),
            '\u{1b}' => out.push_str(r"\E"),
            '\u{7}' => out.push_str(r"\a"),
            '\u{8}' => out.push_str(r"\b"),
            '\t' => out.push_str(r"\t"),
            '\n' => out.push_str(r"\n"),
            '\u{b}' => out.push_str(r"\v"),
            '\u{c}' => out.push_str(r"\f"),
            '\r' => out.push_str(r"\r"),
            _ if letter.is_control() || !letter.is_ascii() && others == Others::Octal => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!(r"\{byte:03o}"));
                }
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_marks_has_one_form() {
        let mut forms = forms("Plain-value_1.2/3");
        forms.dedup();

        assert_eq!(forms, ["Plain-value_1.2/3"]);
    }

    #[test]
    fn each_shell_has_its_form() {
        let forms = forms("a'' $\"\u{1b}ü");

        for form in [
            r#"a'\'''\'' $""#,
            r#"a'"'"''"'"' $""#,
            r#"a'"''"' $""#,
            r#"a'' \$\""#,
            r#"a\'\'\ \$\""#,
            r#"a\'\' $"\Eü"#,
            r#"a\'\' $"\E\303\274"#,
        ] {
            assert!(forms.iter().any(|one| one.starts_with(form)), "{form}: {forms:?}");
        }
    }
}
