//! The configuration file: TOML, every key checked, every error with its line.

mod repository;
mod statuses;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};

use api::{Millis, Secret, Terms};
use serde::Deserialize;
use toml::Spanned;

use super::duration::Duration;
use super::{Config, ConfigError, GitSettings, Hook, Limits, SecretsSettings, environment, retention};
use repository::RepositorySection;
use statuses::ForgeSection;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<Spanned<String>>,
    data: PathBuf,
    public_url: Option<Spanned<String>>,
    default_resource_class: Option<String>,
    default_time_limit: Option<Duration>,
    largest_artifact_mib: Option<u32>,
    #[serde(default)]
    terms: Option<Spanned<TermsSection>>,
    #[serde(default)]
    git: GitSection,
    #[serde(default)]
    secrets: Option<Spanned<SecretsSection>>,
    #[serde(default)]
    forge: ForgeSection,
    #[serde(default)]
    limits: LimitsSection,
    #[serde(default)]
    retention: Option<Spanned<retention::Section>>,
    #[serde(default, rename = "repository")]
    repositories: Vec<RepositorySection>,
    #[serde(default, rename = "hook")]
    hooks: Vec<HookSection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsSection {
    presence: Option<Duration>,
    lease_before: Option<Duration>,
    lease_after: Option<Duration>,
    long_poll: Option<Duration>,
    window: Option<Duration>,
    grace: Option<Duration>,
    shutdown_delay: Option<Duration>,
    slack: Option<Duration>,
    scheduling: Option<Duration>,
    pulling: Option<Duration>,
    resend: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitSection {
    tries: Option<u32>,
    backoff: Option<Duration>,
    timeout: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsSection {
    connections: Option<NonZeroU32>,
    header_timeout: Option<Duration>,
    min_free_mib: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsSection {
    timeout: Option<Duration>,
    patience: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookSection {
    name: Spanned<String>,
    provider: Spanned<String>,
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
}

/// The text of the file, to find lines in.
#[derive(Debug, Clone, Copy)]
struct Text<'a>(&'a str);

impl Text<'_> {
    fn line(self, place: &Range<usize>) -> usize {
        let before = self.0.as_bytes().iter().take(place.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn error<T>(self, at: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        ConfigError {
            line: Some(self.line(&at.span())),
            message: message.into(),
        }
    }

    /// Gives an error the line of what it is about.
    fn at<T, R>(self, at: &Spanned<T>, result: Result<R, ConfigError>) -> Result<R, ConfigError> {
        result.map_err(|error| self.error(at, error.message))
    }
}

/// Reads a configuration file's text.
pub(super) fn read(text: &str, base: &Path) -> Result<Config, ConfigError> {
    let lines = Text(text);
    let file: File = toml::from_str(text).map_err(|error| ConfigError {
        line: error.span().map(|place| lines.line(&place)),
        message: error.message().to_owned(),
    })?;

    let mut config = Config::new(base.join(&file.data));
    if let Some(listen) = &file.listen {
        config.listen = address(listen.get_ref()).ok_or_else(|| {
            lines.error(
                listen,
                "`listen` is no address and port, such as `127.0.0.1:7624` or `[::]:7624`",
            )
        })?;
    }
    if let Some(url) = &file.public_url {
        config.public_url = Some(lines.at(url, public_url(url.get_ref()))?);
    }
    if let Some(class) = file.default_resource_class {
        config.default_resource_class = class;
    }
    if let Some(limit) = file.default_time_limit {
        config.default_time_limit = limit.0;
    }
    if let Some(mib) = file.largest_artifact_mib {
        config.largest_artifact = u64::from(mib) * 1024 * 1024;
    }
    if let Some(terms) = &file.terms {
        config.terms = lines.at(terms, terms_of(terms.get_ref()))?;
    }
    config.git = git_of(&file.git);
    if let Some(secrets) = &file.secrets {
        config.secrets = lines.at(secrets, secrets_of(secrets.get_ref()))?;
    }
    config.limits = limits_of(&file.limits);
    config.least_free = file.limits.min_free_mib.map(|mib| u64::from(mib) * 1024 * 1024);
    if let Some(section) = &file.retention {
        config.retention = lines.at(section, section.get_ref().read())?;
    }
    config.repositories = repository::all(lines, &file.repositories, base)?;
    config.hooks = hooks(lines, &file.hooks, base)?;
    config.statuses = statuses::all(lines, &file.repositories, &file.forge, base)?;
    Ok(config)
}

fn address(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            port.parse().ok()?,
        ));
    }
    text.parse().ok()
}

fn public_url(url: &str) -> Result<String, ConfigError> {
    let url = url.trim_end_matches('/');
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(url.to_owned()),
        _ => Err(ConfigError::new(
            "`public_url` is no URL of http or https, such as `https://ci.example.com`",
        )),
    }
}

fn terms_of(section: &TermsSection) -> Result<Terms, ConfigError> {
    let defaults = Terms::default();
    let or = |given: Option<Duration>, default: Millis| given.map_or(default, |duration| duration.0);
    let terms = Terms {
        presence: or(section.presence, defaults.presence),
        lease_before: or(section.lease_before, defaults.lease_before),
        lease_after: or(section.lease_after, defaults.lease_after),
        long_poll: or(section.long_poll, defaults.long_poll),
        window: or(section.window, defaults.window),
        grace: or(section.grace, defaults.grace),
        shutdown_delay: or(section.shutdown_delay, defaults.shutdown_delay),
        slack: or(section.slack, defaults.slack),
        scheduling: or(section.scheduling, defaults.scheduling),
        pulling: or(section.pulling, defaults.pulling),
        resend: or(section.resend, defaults.resend),
    };
    for (name, term) in [
        ("presence", terms.presence),
        ("lease_before", terms.lease_before),
        ("lease_after", terms.lease_after),
    ] {
        if term < Millis::seconds(1) {
            return Err(ConfigError::new(format!("`{name}` is shorter than a second")));
        }
    }
    Ok(terms)
}

fn git_of(section: &GitSection) -> GitSettings {
    let defaults = GitSettings::default();
    GitSettings {
        tries: section.tries.unwrap_or(defaults.tries).max(1),
        backoff: section.backoff.map_or(defaults.backoff, |duration| duration.0),
        timeout: section.timeout.map_or(defaults.timeout, |duration| duration.0),
    }
}

fn secrets_of(section: &SecretsSection) -> Result<SecretsSettings, ConfigError> {
    let defaults = SecretsSettings::default();
    let settings = SecretsSettings {
        timeout: section.timeout.map_or(defaults.timeout, |duration| duration.0),
        patience: section.patience.map_or(defaults.patience, |duration| duration.0),
    };
    // A task agent waits 20 s for one answer, and asks for five minutes.
    if settings.timeout > Millis::seconds(15) {
        Err(ConfigError::new("`timeout` of secrets is longer than 15s"))
    } else if settings.patience > Millis::seconds(240) {
        Err(ConfigError::new("`patience` of secrets is longer than 4m"))
    } else {
        Ok(settings)
    }
}

fn limits_of(section: &LimitsSection) -> Limits {
    let defaults = Limits::default();
    Limits {
        connections: section.connections.map_or(defaults.connections, NonZeroU32::get),
        header_timeout: section
            .header_timeout
            .map_or(defaults.header_timeout, |duration| duration.0),
    }
}

fn hooks(lines: Text<'_>, sections: &[HookSection], base: &Path) -> Result<Vec<Hook>, ConfigError> {
    let mut known: Vec<Hook> = Vec::new();
    for section in sections {
        let name = section.name.get_ref();
        if known.iter().any(|other| other.name == *name) {
            return Err(lines.error(&section.name, format!("hook `{name}` is there twice")));
        }
        let secret = lines.at(&section.name, secret_of(section, base))?;
        let hook = Hook::new(name, section.provider.get_ref(), secret);
        let at = if forge::registry::find(section.provider.get_ref()).is_none() {
            &section.provider
        } else {
            &section.name
        };
        known.push(lines.at(at, hook)?);
    }
    Ok(known)
}

fn secret_of(section: &HookSection, base: &Path) -> Result<Secret, ConfigError> {
    let name = section.name.get_ref();
    match (&section.secret, &section.secret_file, &section.secret_env) {
        (Some(secret), None, None) => Ok(secret.clone()),
        (None, Some(path), None) => {
            let path = base.join(path);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                ConfigError::new(format!("hook `{name}`: cannot read {}: {error}", path.display()))
            })?;
            Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
        (None, None, Some(variable)) => environment::variable(variable)
            .map(Secret::new)
            .map_err(|why| ConfigError::new(format!("hook `{name}`: {why}"))),
        _ => Err(ConfigError::new(format!(
            "hook `{name}` needs exactly one of `secret`, `secret_file` and `secret_env`"
        ))),
    }
}

#[cfg(test)]
mod tests;
