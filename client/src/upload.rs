//! Artifacts: a file, streamed, with its checksum.

use std::path::Path;
use std::time::Duration;

use api::runner::{SHA256_HEADER, path};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

use crate::send::attempt;
use crate::{Client, ClientError};

/// What stays as it is in a name: unreserved characters and the separator of folders.
pub(crate) const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

impl Client {
    /// Sends `file` as the artifact `name`: one try, answered within `limit`. The server keeps it only where
    /// its content has this SHA-256 (lower-case hexadecimal digits). Sending it again replaces it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn upload_artifact(
        &self,
        name: &str,
        file: &Path,
        sha256: &str,
        limit: Duration,
    ) -> Result<(), ClientError> {
        let content = tokio::fs::File::open(file).await.map_err(ClientError::Source)?;
        let size = content.metadata().await.map_err(ClientError::Source)?.len();
        let request = self
            .request(
                Method::PUT,
                &format!("{}{}", path::ARTIFACTS, utf8_percent_encode(name, NAME)),
            )
            .header(SHA256_HEADER, sha256)
            .header(reqwest::header::CONTENT_LENGTH, size)
            .body(reqwest::Body::from(content));
        tokio::time::timeout(limit, attempt(request))
            .await
            .map_err(|_| ClientError::Deadline(limit))?
            .map(drop)
    }
}
