//! Bytes with the name that they have in every layout and registry: their SHA-256.

use anyhow::Context as _;
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Bytes and how others refer to them.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    pub(crate) fn new(media_type: MediaType, bytes: Vec<u8>) -> anyhow::Result<Self> {
        let size = u64::try_from(bytes.len()).context("a blob of more than 64 bits")?;
        let digest: Sha256Digest = sha256_hex(&bytes).parse()?;
        Ok(Self {
            descriptor: Descriptor::new(media_type, size, digest),
            bytes,
        })
    }

    /// `value` as JSON, with sorted keys: the types of the specification hold maps without an order.
    pub(crate) fn json(media_type: MediaType, value: &impl Serialize) -> anyhow::Result<Self> {
        Self::new(media_type, canonical(value)?)
    }

    /// `sha256:` and 64 digits.
    pub(crate) fn digest(&self) -> String {
        self.descriptor.digest().to_string()
    }

    /// The digits alone.
    pub(crate) fn hex(&self) -> &str {
        self.descriptor.digest().digest()
    }
}

/// JSON with sorted keys.
pub(crate) fn canonical(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}

/// The digits of a SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
