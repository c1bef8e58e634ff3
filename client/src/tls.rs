//! TLS for an image that may carry no certificates: the system's roots together with a built-in set, and
//! ring as the one provider, named explicitly so that no other crate's features decide it.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::ClientError;

/// Whose certificates are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roots {
    /// None: the base URL is plain HTTP, so reading hundreds of certificates would only cost start time.
    None,
    /// The system's, which honour `SSL_CERT_FILE` and `SSL_CERT_DIR`, and the built-in ones.
    All,
}

/// A rustls configuration with these roots.
pub(crate) fn config(roots: Roots) -> Result<ClientConfig, ClientError> {
    let mut store = RootCertStore::empty();
    if roots == Roots::All {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(error = %error, "a certificate of this system could not be read");
        }
        store.add_parsable_certificates(native.certs);
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Setup(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}
