//! `[[repository]]`.

use std::path::{Path, PathBuf};

use api::Secret;
use serde::Deserialize;
use toml::Spanned;

use super::Text;
use crate::config::{ConfigError, Credential, Repository, SecretsSource, Token, credential, environment};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositorySection {
    pub(super) name: Spanned<String>,
    source: Spanned<String>,
    clone_url: Option<Spanned<String>>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token_user: Option<String>,
    ssh_key_file: Option<PathBuf>,
    known_hosts_file: Option<PathBuf>,
    pub(super) status_token_file: Option<PathBuf>,
    pub(super) status_token_env: Option<String>,
    secrets_file: Option<Spanned<PathBuf>>,
    secrets_command: Option<Spanned<Vec<String>>>,
}

/// All repositories of the file.
pub(super) fn all(
    lines: Text<'_>,
    sections: &[RepositorySection],
    base: &Path,
) -> Result<Vec<Repository>, ConfigError> {
    let mut known: Vec<Repository> = Vec::new();
    for section in sections {
        let name = section.name.get_ref();
        if known.iter().any(|other| other.name().eq_ignore_ascii_case(name)) {
            return Err(lines.error(&section.name, format!("repository `{name}` is there twice")));
        }
        known.push(one(lines, section, base)?);
    }
    Ok(known)
}

fn one(lines: Text<'_>, section: &RepositorySection, base: &Path) -> Result<Repository, ConfigError> {
    let name = section.name.get_ref();
    // A wrong name is told at the name, a wrong source at the source.
    lines.at(&section.name, Repository::new(name, "/"))?;
    let repository = Repository::with_base(name, section.source.get_ref(), base);
    let mut repository = lines.at(&section.source, repository)?;
    if let Some(url) = &section.clone_url {
        repository = lines.at(url, repository.with_clone_url(url.get_ref()))?;
    }
    let credential = credential(section, base).map_err(|why| {
        let message = format!("repository `{name}`: {why}");
        lines.error(&section.name, message)
    })?;
    if let Some(credential) = credential {
        repository = lines.at(&section.name, repository.with_credential(credential))?;
    }
    match (&section.secrets_file, &section.secrets_command) {
        (None, None) => Ok(repository),
        (Some(file), None) => {
            let source = SecretsSource::File(base.join(file.get_ref()));
            lines.at(file, repository.with_secrets(source))
        }
        (None, Some(command)) => {
            let source = SecretsSource::Command(program(command.get_ref(), base));
            lines.at(command, repository.with_secrets(source))
        }
        (Some(_), Some(command)) => {
            let message = format!("repository `{name}` has both `secrets_file` and `secrets_command`");
            Err(lines.error(command, message))
        }
    }
}

/// A program that is named by its path is relative to the file, as all paths in it; one that is not is looked
/// for on `PATH`.
fn program(words: &[String], base: &Path) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(program) = words.first_mut()
        && program.contains('/')
        && let Some(path) = base.join(&*program).to_str()
    {
        *program = path.to_owned();
    }
    words
}

fn credential(section: &RepositorySection, base: &Path) -> Result<Option<Credential>, String> {
    let token = match (&section.token_file, &section.token_env) {
        (None, None) => None,
        (Some(path), None) => Some(Token::File(base.join(path))),
        (None, Some(variable)) => Some(Token::Here(Secret::new(environment::variable(variable)?))),
        (Some(_), Some(_)) => return Err("it has both `token_file` and `token_env`".to_owned()),
    };
    match (token, &section.ssh_key_file, &section.known_hosts_file) {
        (Some(token), None, None) => Ok(Some(Credential::Token {
            user: section
                .token_user
                .clone()
                .unwrap_or_else(|| credential::DEFAULT_USER.to_owned()),
            token,
        })),
        (None, Some(key), Some(hosts)) if section.token_user.is_none() => Ok(Some(Credential::Key {
            key: base.join(key),
            known_hosts: base.join(hosts),
        })),
        (None, None, None) if section.token_user.is_none() => Ok(None),
        (None, Some(_), None) => Err(
            "`ssh_key_file` needs `known_hosts_file`, with the host's key: `ssh-keyscan HOST`, compared with what \
             the host's operator publishes"
                .to_owned(),
        ),
        (None, None, Some(_)) => Err("`known_hosts_file` needs `ssh_key_file`".to_owned()),
        (Some(_), _, _) => Err("it has both a token and a key".to_owned()),
        (None, _, _) => Err("`token_user` needs `token_file` or `token_env`".to_owned()),
    }
}
