//! Where the server tells a Git provider how commits do, and with which token.

use std::net::IpAddr;

use api::Secret;
use forge::{Forge, GitHub};

use super::ConfigError;

/// The right to set statuses on the commits of one repository.
#[derive(Debug, Clone)]
pub struct StatusAccess {
    repository: String,
    provider: &'static dyn Forge,
    api_url: String,
    token: Secret,
}

impl StatusAccess {
    /// Sets statuses of a repository at GitHub; at the API of a GitHub Enterprise Server where a URL is given.
    ///
    /// # Errors
    /// When the token cannot be in a header, or the URL would show it to the network.
    pub fn github(repository: &str, api_url: Option<&str>, token: Secret) -> Result<Self, ConfigError> {
        let api_url = api_url.map_or_else(|| Ok(GitHub.api_url().to_owned()), check_api_url)?;
        if token.is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new(format!(
                "repository `{repository}`: the status token is empty, or has characters that no token has"
            )));
        }
        Ok(Self {
            repository: repository.to_owned(),
            provider: &GitHub,
            api_url,
            token,
        })
    }

    /// The repository's name.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Who is told.
    pub(crate) fn provider(&self) -> &'static dyn Forge {
        self.provider
    }

    /// Where the provider's API is.
    pub(crate) fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The token.
    pub(crate) const fn token(&self) -> &Secret {
        &self.token
    }

    /// Whether both are calls of one account at one provider, which counts them together.
    pub(crate) fn same_account(&self, other: &Self) -> bool {
        self.provider.name() == other.provider.name()
            && self.api_url == other.api_url
            && self.token == other.token
    }
}

/// A URL to which a token may be sent: with TLS, or without leaving this machine.
pub(super) fn check_api_url(url: &str) -> Result<String, ConfigError> {
    let url = url.trim_end_matches('/');
    let good = |rest: &str| !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']);
    let fine = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => good(rest),
        (None, Some(rest)) => good(rest) && is_loopback(rest),
        (None, None) => false,
    };
    if fine {
        Ok(url.to_owned())
    } else {
        Err(ConfigError::new(
            "`api_url` is no URL of https, such as `https://github.example.com/api/v3` (http only for this machine: \
             a token is sent there)",
        ))
    }
}

fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_with_tls_or_not_beyond_this_machine() {
        for url in [
            "https://github.example.com/api/v3/",
            "http://127.0.0.1:80",
            "http://[::1]:80/api",
            "http://localhost",
        ] {
            assert_eq!(check_api_url(url).unwrap(), url.trim_end_matches('/'));
        }
        for url in [
            "http://github.example.com",
            "http://127.0.0.1.example.com",
            "https://",
            "https://token@example.com",
            "ftp://x",
            "",
        ] {
            assert!(check_api_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_token_that_is_none_is_refused_and_never_shown() {
        for token in ["", "two words", "line\n", "\u{e4}"] {
            let error = StatusAccess::github("a/b", None, Secret::new(token)).unwrap_err();

            assert!(error.message.starts_with("repository `a/b`: the status token"));
        }
        let access = StatusAccess::github("a/b", None, Secret::new("hush")).unwrap();
        assert!(!format!("{access:?}").contains("hush"));
        assert_eq!(access.api_url(), "https://api.github.com");
    }
}
