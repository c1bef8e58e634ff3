//! Delivering a webhook as a Git provider does: a signed body, and no token.

use std::time::Duration;

use reqwest::Method;

use crate::send::attempt;
use crate::{Client, ClientError};

/// How long a delivery may take.
const LIMIT: Duration = Duration::from_secs(30);

impl Client {
    /// Delivers `body` to a hook with the provider's headers: one try. Gives the server's answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deliver(
        &self,
        hook: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<String, ClientError> {
        let mut request = self
            .request(Method::POST, &format!("/webhook/{hook}"))
            .header("Content-Type", "application/json")
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = async {
            let response = attempt(request).await?;
            response
                .text()
                .await
                .map_err(|error| ClientError::Transport(error.without_url()))
        };
        tokio::time::timeout(LIMIT, answer)
            .await
            .map_err(|_| ClientError::Deadline(LIMIT))?
    }
}
