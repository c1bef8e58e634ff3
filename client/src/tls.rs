//! TLS for an image that may carry no certificates: the system's roots together with a built-in set, and
//! ring as the one provider, named explicitly so that no other crate's features decide it.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
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
    let store = match roots {
        Roots::None => RootCertStore::empty(),
        Roots::All => {
            let native = rustls_native_certs::load_native_certs();
            for error in &native.errors {
                tracing::debug!(error = %error, "a certificate of this system could not be read");
            }
            with_built_in(native.certs)
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Setup(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// These roots, as far as they can be parsed, and the built-in ones.
fn with_built_in(native: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(native);
    store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roots_are_there_without_any_of_the_system() {
        let store = with_built_in(Vec::new());

        // Mozilla's list has had more than a hundred for years.
        assert!(store.len() > 100, "{}", store.len());
    }
}
