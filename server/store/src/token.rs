//! Tokens: made from the system's random numbers, kept only as hashes, compared in constant time.

use api::{AttemptRef, Secret};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// What a SHA-256 is.
pub(crate) type Hash = [u8; 32];

/// Letters and digits of which no two look alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `length` random characters, five bits each.
pub(crate) fn random_word(length: usize) -> Result<String, StoreError> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
        .collect())
}

/// A new token of 256 random bits behind a prefix that tells leak scanners what it is.
pub(crate) fn new_token(prefix: &str) -> Result<Secret, StoreError> {
    Ok(Secret::new(format!("{prefix}{}", random_hex()?)))
}

/// 256 random bits in hexadecimal digits.
pub(crate) fn random_hex() -> Result<String, StoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// What is kept of a token. A token has 256 random bits, so one plain hash is enough.
pub(crate) fn hash(token: &Secret) -> Hash {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// What an attempt's token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All calls of GOAT and the task agent. No step may see it.
    Task,
    /// Reading the attempt's repository. Steps may see it, because git runs beside them.
    Git,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Git => "git",
        }
    }
}

fn mac(key: &Secret, purpose: Purpose, attempt: &AttemptRef) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(format!("{}:{attempt}", purpose.label()).as_bytes());
    mac
}

/// A token of one attempt. It is not stored: the server's key makes it again.
pub(crate) fn of_attempt(key: &Secret, purpose: Purpose, attempt: &AttemptRef) -> Secret {
    let code = hex::encode(mac(key, purpose, attempt).finalize().into_bytes());
    Secret::new(format!("{attempt}.{code}"))
}

/// The attempt that a token of this purpose is good for, compared in constant time.
pub(crate) fn attempt_of(key: &Secret, purpose: Purpose, token: &Secret) -> Option<AttemptRef> {
    let (attempt, code) = token.expose().rsplit_once('.')?;
    let attempt: AttemptRef = attempt.parse().ok()?;
    let code = hex::decode(code).ok()?;
    mac(key, purpose, &attempt).verify_slice(&code).ok()?;
    Some(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(text: &str) -> AttemptRef {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_attempt_and_purpose_alone() {
        let key = Secret::new("key");
        let token = of_attempt(&key, Purpose::Task, &attempt("t-1.1"));
        let attempt_of = |token: &Secret| attempt_of(&key, Purpose::Task, token);

        assert_eq!(attempt_of(&token), Some(attempt("t-1.1")));
        assert_eq!(
            super::attempt_of(&Secret::new("other"), Purpose::Task, &token),
            None
        );
        assert_eq!(super::attempt_of(&key, Purpose::Git, &token), None);
        assert_eq!(
            attempt_of(&of_attempt(&key, Purpose::Git, &attempt("t-1.1"))),
            None
        );
        let moved = Secret::new(token.expose().replace("t-1.1", "t-1.2"));
        assert_eq!(attempt_of(&moved), None);
        for forged in ["", "t-1.1", "t-1.1.", "t-1.1.00", "t-1.1.zz"] {
            assert_eq!(attempt_of(&Secret::new(forged)), None, "{forged}");
        }
    }

    #[test]
    fn a_word_holds_no_character_that_an_id_may_not_have() {
        let word = random_word(64).unwrap();

        assert_eq!(word.len(), 64);
        assert!(api::PipelineId::new(word).is_ok());
    }
}
