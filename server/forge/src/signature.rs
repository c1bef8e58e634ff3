//! HMAC-SHA256 over raw bytes.

use api::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Whether `signature`, in hexadecimal digits, is the HMAC-SHA256 of `body` under `secret`. The comparison
/// takes the same time wherever they differ.
pub(crate) fn is_good(secret: &Secret, body: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = hex::decode(signature) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_own_example_verifies() {
        // From GitHub's documentation, "Validating webhook deliveries".
        let secret = Secret::new("It's a Secret to Everybody");
        let signature = b"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

        assert!(is_good(&secret, b"Hello, World!", signature));
        assert!(!is_good(&secret, b"Hello, World?", signature));
        assert!(!is_good(&Secret::new("other"), b"Hello, World!", signature));
    }

    #[test]
    fn a_part_of_a_signature_is_no_signature() {
        let secret = Secret::new("It's a Secret to Everybody");

        for signature in [&b""[..], b"757107ea", b"zz", b"7"] {
            assert!(!is_good(&secret, b"Hello, World!", signature));
        }
    }
}
