//! Who is told how commits do: tokens of `[[repository]]`, and `[forge]`.

use std::path::Path;

use api::Secret;
use serde::Deserialize;
use toml::Spanned;

use super::Text;
use super::repository::RepositorySection;
use crate::config::statuses::check_api_url;
use crate::config::{ConfigError, StatusAccess, environment, read_private};

/// The longest token, in bytes.
const LONGEST: usize = 4096;

/// Settings of providers, by their names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgeSection {
    #[serde(default)]
    github: GitHubSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitHubSection {
    api_url: Option<Spanned<String>>,
}

/// The accesses of all repositories that have a token.
pub(super) fn all(
    lines: Text<'_>,
    sections: &[RepositorySection],
    forge: &ForgeSection,
    base: &Path,
) -> Result<Vec<StatusAccess>, ConfigError> {
    let api_url = forge.github.api_url.as_ref();
    if let Some(url) = api_url {
        lines.at(url, check_api_url(url.get_ref()))?;
    }
    let mut known = Vec::new();
    for section in sections {
        let name = section.name.get_ref();
        let token = token(section, base).map_err(|why| {
            let message = format!("repository `{name}`: {why}");
            lines.error(&section.name, message)
        })?;
        if let Some(token) = token {
            let access = StatusAccess::github(name, api_url.map(|url| url.get_ref().as_str()), token);
            known.push(lines.at(&section.name, access)?);
        }
    }
    Ok(known)
}

fn token(section: &RepositorySection, base: &Path) -> Result<Option<Secret>, String> {
    match (&section.status_token_file, &section.status_token_env) {
        (None, None) => Ok(None),
        (Some(path), None) => {
            let text = read_private(&base.join(path), LONGEST)?;
            Ok(Some(Secret::new(text.expose().trim_end_matches(['\r', '\n']))))
        }
        (None, Some(variable)) => environment::variable(variable).map(|text| Some(Secret::new(text))),
        (Some(_), Some(_)) => Err("it has both `status_token_file` and `status_token_env`".to_owned()),
    }
}
