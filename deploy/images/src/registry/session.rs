//! Calls to one repository of a registry, with whatever it wants to know of who calls.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::{self, Credentials};
use super::reference::Reference;
use crate::blob::sha256_hex;
use api::Secret;

const USER_AGENT: &str = concat!("goatherd-images/", env!("CARGO_PKG_VERSION"));
/// How long one call may take: a layer over a slow line.
const LIMIT: Duration = Duration::from_secs(600);
/// The most of a refusal's text that is shown.
const LONGEST_REFUSAL: usize = 500;
/// By this header a registry says that it lists what refers to an image, distribution specification 1.1.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Who we are, in the form that the registry wants.
#[derive(Debug)]
enum Identity {
    Nobody,
    Basic(Credentials),
    Bearer(Secret),
}

/// A repository, and the right to write to it.
#[derive(Debug)]
pub(crate) struct Session {
    http: reqwest::Client,
    base: Url,
    repository: String,
    identity: Identity,
}

/// What became of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referrers {
    /// The registry lists what refers to an image.
    Listed,
    /// It does not, so that who pushes must keep the list.
    Unlisted,
}

/// A token service's answer; the second name is OAuth's.
#[derive(Debug, Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: Secret,
}

impl Session {
    /// Finds out how the registry wants to be talked to, and logs in.
    pub(crate) async fn open(reference: &Reference) -> anyhow::Result<Self> {
        let base = reference.base();
        let mut session = Self {
            http: client::http(&base, USER_AGENT)?,
            base: Url::parse(&base)?,
            repository: reference.repository.clone(),
            identity: Identity::Nobody,
        };
        let url = session.base.join("/v2/")?;
        let answer = session.call(session.request(Method::GET, url)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            accept(answer, &[StatusCode::OK], "is asked for its version").await?;
            return Ok(session);
        }
        let header = answer.headers().get(WWW_AUTHENTICATE);
        let challenge = header
            .and_then(|header| Challenge::read(header.to_str().ok()?))
            .with_context(|| format!("{base} refuses us and names no way to log in that is known here"))?;
        let known = credentials::find(&reference.registry)?;
        session.identity = match (challenge, known) {
            (Challenge::Basic, Some(known)) => Identity::Basic(known),
            (Challenge::Basic, None) => {
                anyhow::bail!(
                    "{} wants a name and a password: log in with `docker login` first",
                    reference.registry
                )
            }
            (Challenge::Bearer { realm, service }, known) => {
                Identity::Bearer(session.token(&realm, service.as_deref(), known).await?)
            }
        };
        Ok(session)
    }

    /// Gets a token that may write to the repository.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        known: Option<Credentials>,
    ) -> anyhow::Result<Secret> {
        let realm =
            Url::parse(realm).with_context(|| format!("`{realm}` is no address to get a token from"))?;
        // A password must not go where others can read it.
        anyhow::ensure!(
            realm.scheme() == "https" || self.base.scheme() == "http",
            "the registry wants us to get a token at {realm}, in clear text"
        );
        let http = client::http(realm.as_str(), USER_AGENT)?;
        let scope = format!("repository:{}:pull,push", self.repository);
        let mut request = http.get(realm.clone()).query(&[("scope", scope.as_str())]);
        if let Some(service) = service {
            request = request.query(&[("service", service)]);
        }
        if let Some(known) = known {
            request = request.basic_auth(known.user, Some(known.password.expose()));
        }
        let answer = self.call(request).await?;
        let answer = accept(answer, &[StatusCode::OK], "is asked for a token").await?;
        let token: Token = serde_json::from_slice(&answer.bytes().await?)
            .with_context(|| format!("{realm} answers without a token"))?;
        Ok(token.token)
    }

    /// Whether the registry has a blob.
    async fn has(&self, digest: &str) -> anyhow::Result<bool> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let answer = self.call(self.request(Method::HEAD, url)).await?;
        // Some registries answer with the address of the store behind them.
        Ok(answer.status().is_success() || answer.status().is_redirection())
    }

    /// Pushes a blob, unless it is there.
    pub(crate) async fn push_blob(&self, digest: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        if self.has(digest).await? {
            return Ok(());
        }
        let url = self.url("blobs/uploads/")?;
        let answer = self.call(self.request(Method::POST, url.clone())).await?;
        let answer = accept(answer, &[StatusCode::ACCEPTED], "is to take a blob").await?;
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .context("the registry does not say where to send a blob")?;
        let mut location = url.join(location)?;
        location.query_pairs_mut().append_pair("digest", digest);
        let request = self
            .request(Method::PUT, location)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(bytes);
        let answer = self.call(request).await?;
        accept(answer, &[StatusCode::CREATED], "is given a blob").await?;
        Ok(())
    }

    /// Pushes a manifest under a tag, or under its own digest where `name` is that.
    pub(crate) async fn push_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<Referrers> {
        let digest = format!("sha256:{}", sha256_hex(&bytes));
        let request = self
            .request(Method::PUT, self.url(&format!("manifests/{name}"))?)
            .header(CONTENT_TYPE, media_type)
            .body(bytes);
        let answer = self.call(request).await?;
        let answer = accept(answer, &[StatusCode::CREATED], "is given a manifest").await?;
        if let Some(theirs) = answer.headers().get("docker-content-digest") {
            anyhow::ensure!(
                theirs.as_bytes() == digest.as_bytes(),
                "the registry took {digest} for something else: {theirs:?}"
            );
        }
        let listed = answer.headers().contains_key(SUBJECT);
        Ok(if listed {
            Referrers::Listed
        } else {
            Referrers::Unlisted
        })
    }

    /// Gets a manifest by its tag; none where there is none.
    pub(crate) async fn manifest(&self, name: &str, media_type: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let request = self
            .request(Method::GET, self.url(&format!("manifests/{name}"))?)
            .header(reqwest::header::ACCEPT, media_type);
        let answer = self.call(request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = accept(answer, &[StatusCode::OK], "is asked for a manifest").await?;
        Ok(Some(answer.bytes().await?.to_vec()))
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        Ok(self.base.join(&format!("/v2/{}/{path}", self.repository))?)
    }

    /// A request; who we are is told to the registry alone, and not to a store that it sends us to.
    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let known_to = self.base.origin() == url.origin();
        let request = self.http.request(method, url);
        match &self.identity {
            Identity::Basic(known) if known_to => {
                request.basic_auth(&known.user, Some(known.password.expose()))
            }
            Identity::Bearer(token) if known_to => request.bearer_auth(token.expose()),
            _ => request,
        }
    }

    async fn call(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        // Without the URL: that of an upload may hold what gives the right to it.
        let answer = request
            .timeout(LIMIT)
            .send()
            .await
            .map_err(reqwest::Error::without_url);
        answer.with_context(|| format!("no answer from {}", self.base))
    }
}

/// The answer, where it is one of these; else an error with what the registry says.
async fn accept(answer: Response, wanted: &[StatusCode], what: &str) -> anyhow::Result<Response> {
    let status = answer.status();
    if wanted.contains(&status) {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let text: String = text.trim().chars().take(LONGEST_REFUSAL).collect();
    anyhow::bail!("the registry answers {status} when it {what}: {text}")
}
