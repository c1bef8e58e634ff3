//! Files of variables: `NAME=VALUE`, one a line. A value may stand in `'...'`, as it is, or in `"..."`, with
//! `\n`, `\r`, `\t`, `\"`, `\$` and `\\`; in both over several lines. `#` begins a comment.

use std::collections::BTreeMap;

use api::Secret;

use super::Values;
use super::names::is_name;

/// Reads it. What is wrong is told with its line, and never with anything of the line.
pub(super) fn read(text: &str) -> Result<Values, (usize, &'static str)> {
    let mut found = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let before = text.len() - rest.len();
        let at = 1 + text.get(..before).unwrap_or_default().matches('\n').count();
        let line = rest.lines().next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let (name, value) = rest
            .split_once('=')
            .filter(|(name, _)| !name.contains('\n'))
            .ok_or((at, "it is no NAME=VALUE"))?;
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        if !is_name(name) {
            return Err((at, "what is before `=` is no variable's name"));
        }
        let (value, after) = value_of(value).map_err(|why| (at, why))?;
        if found.insert(name.to_owned(), Secret::new(value)).is_some() {
            return Err((at, "this name was there before"));
        }
        rest = after;
    }
    Ok(found)
}

/// A value, and the text after its line.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let begin = text.trim_start_matches([' ', '\t']);
    let (value, after) = if let Some(quoted) = begin.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').ok_or("there is no closing `'`")?;
        (value.to_owned(), after)
    } else if let Some(quoted) = begin.strip_prefix('"') {
        in_double_quotes(quoted).ok_or("there is no closing `\"`")?
    } else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        return Ok((without_comment(line).trim().to_owned(), after));
    };
    let (line, after) = after.split_once('\n').unwrap_or((after, ""));
    match line.trim() {
        "" => Ok((value, after)),
        comment if comment.starts_with('#') => Ok((value, after)),
        _ => Err("there is something after the closing quote"),
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
