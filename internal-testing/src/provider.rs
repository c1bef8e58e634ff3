//! A Git provider's side of a webhook: bodies as GitHub sends them, signed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A provider that delivers to one server.
#[derive(Debug, Clone)]
pub struct Provider {
    url: String,
    secret: String,
    http: reqwest::Client,
}

impl Provider {
    /// One that signs with this secret.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn new(server: &str, secret: &str) -> Self {
        Self {
            url: format!("{server}/webhook/github"),
            secret: secret.to_owned(),
            http: plain_http(),
        }
    }

    /// Posts a push, signed with the secret or with this signature, and gives status and body of the answer.
    ///
    /// # Errors
    /// When no answer came.
    ///
    /// # Panics
    /// Never: a key of any length will do.
    pub async fn deliver(
        &self,
        id: &str,
        body: &[u8],
        signature: Option<&str>,
    ) -> Result<(u16, String), reqwest::Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any key will do");
        mac.update(body);
        let signed = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let response = self
            .http
            .post(&self.url)
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", id)
            .header("X-Hub-Signature-256", signature.unwrap_or(&signed))
            .header("Content-Type", "application/json")
            .body(body.to_vec())
            .send()
            .await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}

/// The body of a push of `commit` to `main`.
#[must_use]
pub fn push(repository: &str, commit: &str) -> Vec<u8> {
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let body = serde_json::json!({
        "ref": "refs/heads/main",
        "before": "0".repeat(40),
        "after": commit,
        "created": false,
        "deleted": false,
        "forced": false,
        "repository": {"id": 1, "name": name, "full_name": repository, "default_branch": "main"},
        "pusher": {"name": "tester"},
        "head_commit": {"id": commit, "message": "A change"},
        "commits": [],
    });
    body.to_string().into_bytes()
}

/// A new delivery's id.
///
/// # Panics
/// When the system has no randomness.
#[must_use]
pub fn delivery_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    hex::encode(bytes)
}

/// For plain requests: the client of this project speaks bearer tokens and JSON alone.
pub(crate) fn plain_http() -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(no_tls())
        .no_proxy()
        .build()
        .expect("a client can be made")
}

fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
