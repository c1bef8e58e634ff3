//! Making a client.

use std::net::IpAddr;
use std::time::Duration;

use api::{InstanceId, Secret};

use crate::{ClientError, tls};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next call: shorter than a server or a proxy keeps one, so that no call
/// goes out on a connection that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// A client of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: Option<Secret>,
    pub(crate) instance: Option<InstanceId>,
    #[cfg(feature = "people")]
    pub(crate) notice: crate::attended::Notice,
}

impl Client {
    /// Starts to make a client of the server at `base_url`, such as `https://ci.example.com`.
    #[must_use]
    pub fn builder(base_url: &str) -> Builder {
        Builder {
            base: base_url.trim_end_matches('/').to_owned(),
            token: None,
            user_agent: concat!("goatherd/", env!("CARGO_PKG_VERSION")).to_owned(),
            instance: None,
            #[cfg(feature = "people")]
            notice: crate::attended::Notice::default(),
        }
    }

    /// The server's URL, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base
    }
}

/// A client in the making.
#[derive(Debug)]
pub struct Builder {
    base: String,
    token: Option<Secret>,
    user_agent: String,
    instance: Option<InstanceId>,
    #[cfg(feature = "people")]
    notice: crate::attended::Notice,
}

impl Builder {
    /// The bearer token.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// The user agent.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// The instance that is sent with each call ([`api::goat::INSTANCE_HEADER`]).
    #[must_use]
    pub fn instance(mut self, instance: Option<InstanceId>) -> Self {
        self.instance = instance;
        self
    }

    /// Somebody waits for the calls of the people's API: `tell` says, once for each call and within about a second,
    /// that it takes its time and why; and a server that cannot be reached is given up sooner.
    #[cfg(feature = "people")]
    #[must_use]
    pub fn attended(mut self, tell: impl Fn(&crate::Waiting<'_>) + Send + Sync + 'static) -> Self {
        self.notice = crate::attended::Notice::new(tell);
        self
    }

    /// Makes the client. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured, except for a server on
    /// loopback, which no proxy could reach.
    ///
    /// # Errors
    /// [`ClientError::Setup`] where the URL is no HTTP URL or TLS cannot be set up.
    pub fn build(self) -> Result<Client, ClientError> {
        Ok(Client {
            http: http(&self.base, &self.user_agent)?,
            base: self.base,
            token: self.token,
            instance: self.instance,
            #[cfg(feature = "people")]
            notice: self.notice,
        })
    }
}

/// The HTTP client under a [`Client`], for calls to others than Goatherd's server: the same roots, proxies and
/// time to connect, and no redirects, because a bearer token must not follow one to another place.
///
/// # Errors
/// [`ClientError::Setup`] where the URL is no HTTP URL or TLS cannot be set up.
pub fn http(base_url: &str, user_agent: &str) -> Result<reqwest::Client, ClientError> {
    let url = reqwest::Url::parse(base_url).map_err(|error| {
        // Before an `@` is a password.
        let shown = base_url.rsplit('@').next().unwrap_or_default();
        ClientError::Setup(format!("`{shown}` is no URL: {error}"))
    })?;
    let roots = match url.scheme() {
        "http" => tls::Roots::None,
        "https" => tls::Roots::All,
        other => {
            return Err(ClientError::Setup(format!(
                "the scheme of a server's URL is http or https, not {other}"
            )));
        }
    };
    let mut http = reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls::config(roots)?);
    if is_loopback(&url) {
        http = http.no_proxy();
    }
    http.build()
        .map_err(|error| ClientError::Setup(error.to_string()))
}

pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_refused_with_its_text() {
        for text in ["", "not a url", "ftp://example.com"] {
            let error = Client::builder(text).build().expect_err(text);

            assert!(matches!(error, ClientError::Setup(_)), "{text}: {error}");
        }
    }

    #[test]
    fn a_client_for_https_is_made_without_any_certificate_of_the_system() {
        assert!(Client::builder("https://example.com").build().is_ok());
    }
}
