//! A certificate for a test.

use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// A certificate, and what serves it.
pub(super) struct Identity {
    /// In PEM.
    pub(super) certificate: String,
    pub(super) config: Arc<ServerConfig>,
}

impl Identity {
    /// Signed by itself, so whoever takes it for a root trusts it.
    pub(super) fn of(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate can be made");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("it is a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("key and certificate fit");
        Self {
            certificate: cert.pem(),
            config: Arc::new(config),
        }
    }
}
