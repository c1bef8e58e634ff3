//! Variables and secrets that people give to a run: on the command line, and in files.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use api::Secret;
use server::variables::{self, Malformed, check_secret, check_variable, is_name};

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
            variables.plain.extend(read(file, check_variable)?);
        }
        for word in &arguments.env {
            let (name, value) = given(word)?;
            variables.plain.insert(name, value);
        }
        for file in &arguments.secrets_file {
            variables.warn_of_readers(file)?;
            for (name, value) in read(file, check_secret)? {
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
    if !is_name(name) {
        return Err(Failure::usage(format!("--env: `{name}` is no variable's name")));
    }
    check_variable(name).map_err(|why| Failure::usage(format!("--env: {why}")))?;
    Ok((name.to_owned(), value))
}

/// Whether something may have a name, and why not.
type Rule = fn(&str) -> Result<(), String>;

fn read(file: &Path, rule: Rule) -> Result<Vec<(String, String)>, Failure> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(text).map_err(|_| Failure::usage(format!("{shown} is no text in UTF-8")))?;
    parse(&text, rule).map_err(|(line, why)| Failure::usage(format!("{shown}, line {line}: {why}")))
}

/// Reads a file of variables. What is wrong is told with its line, and never with a value.
fn parse(text: &str, rule: Rule) -> Result<Vec<(String, String)>, (usize, String)> {
    let found = variables::read(text).map_err(|(line, what)| {
        let why = match what {
            Malformed::NoPair => "expected NAME=VALUE".to_owned(),
            what => what.to_string(),
        };
        (line, why)
    })?;
    if let Some(bad) = found.iter().find(|one| one.value.contains('\0')) {
        return Err((bad.line, "a value cannot hold a NUL".to_owned()));
    }
    for one in &found {
        rule(&one.name).map_err(|why| (one.line, why))?;
    }
    Ok(found.into_iter().map(|one| (one.name, one.value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_no_variable_can_have_is_told_with_its_line() {
        let (line, why) = parse("A=1\nB=\0", check_variable).unwrap_err();

        assert_eq!((line, why.as_str()), (2, "a value cannot hold a NUL"));
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
