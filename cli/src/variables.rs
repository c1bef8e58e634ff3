//! Variables and secrets that people give to a run: on the command line, and in files.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use api::Secret;

use crate::config::Run;
use crate::error::Failure;

/// What a run's jobs get.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    /// For every process of the job.
    pub(crate) plain: BTreeMap<String, String>,
    /// For `run` steps only.
    pub(crate) secret: BTreeMap<String, Secret>,
    /// What people should know about them.
    pub(crate) warnings: Vec<String>,
}

impl Variables {
    /// Reads all that the command line names; later ones win over earlier ones, and `--env` over files.
    pub(crate) fn of(arguments: &Run) -> Result<Self, Failure> {
        let mut variables = Self::default();
        for file in &arguments.env_file {
            variables.plain.extend(read(file)?);
        }
        for word in &arguments.env {
            let (name, value) = given(word)?;
            variables.plain.insert(name, value);
        }
        for file in &arguments.secrets_file {
            variables.warn_of_readers(file)?;
            for (name, value) in read(file)? {
                variables.add_secret(name, Secret::new(value));
            }
        }
        match variables
            .secret
            .keys()
            .find(|name| variables.plain.contains_key(*name))
        {
            Some(name) => Err(Failure::usage(format!(
                "{name} is given both as a variable and as a secret"
            ))),
            None => Ok(variables),
        }
    }

    fn add_secret(&mut self, name: String, value: Secret) {
        if !is_masked(value.expose()) {
            self.warnings.push(format!(
                "the secret {name} is not masked in logs: it is shorter than 4 characters, or `true` or `false`"
            ));
        }
        self.secret.insert(name, value);
    }

    fn warn_of_readers(&mut self, file: &Path) -> Result<(), Failure> {
        let shown = file.display();
        let found = std::fs::metadata(file).with_context(|| format!("cannot read {shown}"))?;
        let mode = found.permissions().mode() & 0o7777;
        if found.is_file() && mode & 0o044 != 0 {
            self.warnings.push(format!(
                "others can read {shown} (mode {mode:04o}): `chmod 600 {shown}`"
            ));
        }
        Ok(())
    }
}

/// The task agent's rule for what it covers.
fn is_masked(value: &str) -> bool {
    value.lines().map(str::trim).any(|line| {
        line.chars().count() >= 4 && !line.eq_ignore_ascii_case("true") && !line.eq_ignore_ascii_case("false")
    })
}

fn given(word: &str) -> Result<(String, String), Failure> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => {
            let value = std::env::var(word).map_err(|_| {
                Failure::usage(format!(
                    "--env {word}: there is no such variable here; give it as {word}=VALUE"
                ))
            })?;
            (word, value)
        }
    };
    if is_name(name) {
        Ok((name.to_owned(), value))
    } else {
        Err(Failure::usage(format!("--env: `{name}` is no variable's name")))
    }
}

fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(word) && !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit())
}

fn read(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(text).map_err(|_| Failure::usage(format!("{shown} is no text in UTF-8")))?;
    parse(&text).map_err(|(line, why)| Failure::usage(format!("{shown}, line {line}: {why}")))
}

/// Reads a file of variables. What is wrong is told with its line, and never with a value.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut found = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let at = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let line = rest.lines().next().unwrap_or_default();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let (name, value) = rest
            .split_once('=')
            .filter(|(name, _)| !name.contains('\n'))
            .ok_or((at, "expected NAME=VALUE"))?;
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        if !is_name(name) {
            return Err((at, "what is before `=` is no variable's name"));
        }
        let (value, after) = value_of(value).map_err(|why| (at, why))?;
        if value.contains('\0') {
            return Err((at, "a value cannot hold a NUL"));
        }
        found.push((name.to_owned(), value));
        rest = after;
    }
    Ok(found)
}

/// A value, and the text after its line.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let begin = text.trim_start_matches([' ', '\t']);
    let (value, after) = match begin.chars().next() {
        Some('\'') => begin[1..]
            .split_once('\'')
            .map(|(value, after)| (value.to_owned(), after))
            .ok_or("there is no closing `'`")?,
        Some('"') => in_double_quotes(&begin[1..]).ok_or("there is no closing `\"`")?,
        _ => {
            let (line, after) = text.split_once('\n').unwrap_or((text, ""));
            // `#` begins a comment only after white space: values hold it.
            let end = line
                .char_indices()
                .find(|(at, found)| *found == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])))
                .map_or(line.len(), |(at, _)| at);
            return Ok((line[..end].trim().to_owned(), after));
        }
    };
    let (line, after) = after.split_once('\n').unwrap_or((after, ""));
    match line.trim() {
        "" => Ok((value, after)),
        comment if comment.starts_with('#') => Ok((value, after)),
        _ => Err("there is something after the closing quote"),
    }
}

fn in_double_quotes(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                plain @ ('"' | '\\' | '$') => value.push(plain),
                other => value.extend(['\\', other]),
            },
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
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
            ("A=\0", 1),
        ] {
            let (at, why) = parse(text).unwrap_err();

            assert_eq!(at, line, "{text}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn what_is_too_short_to_be_masked_is_known() {
        for (value, masked) in [
            ("abc", false),
            ("True", false),
            ("abcd", true),
            ("a\nlong enough", true),
            ("", false),
        ] {
            assert_eq!(is_masked(value), masked, "{value}");
        }
    }
}
