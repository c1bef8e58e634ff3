//! Who may do what: admin, resource-class and task tokens. A token is never logged and never in a URL.

use api::{AttemptRef, Secret};
use sha2::{Digest, Sha256};
use store::{Store, StoreError};
use subtle::ConstantTimeEq;

/// Knows the tokens.
#[derive(Debug)]
pub(crate) struct Auth {
    store: Store,
    /// The hash of the admin token that lives as long as the process.
    own_admin: Option<[u8; 32]>,
}

/// Whom a runner token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Runner {
    /// A container agent of a resource class.
    Agent {
        /// The class.
        class: String,
    },
    /// GOAT or the task agent of an attempt.
    Place {
        /// The attempt.
        attempt: AttemptRef,
    },
}

impl Auth {
    /// Knows the store's tokens, and an admin token beside them.
    pub(crate) fn new(store: Store, own_admin: Option<&Secret>) -> Self {
        Self {
            store,
            own_admin: own_admin.map(hash),
        }
    }

    /// Whether a token is an admin's. Equal hashes are compared, so that the time tells nothing.
    pub(crate) async fn is_admin(&self, token: &Secret) -> Result<bool, StoreError> {
        let own = self
            .own_admin
            .is_some_and(|own| bool::from(own.ct_eq(&hash(token))));
        if own {
            Ok(true)
        } else {
            self.store.admin_token_is(token).await
        }
    }

    /// The attempt that a task token is good for.
    pub(crate) fn attempt(&self, token: &Secret) -> Option<AttemptRef> {
        self.store.attempt_of_token(token)
    }

    /// The attempt whose repository a git token is good for.
    pub(crate) fn reader(&self, token: &Secret) -> Option<AttemptRef> {
        self.store.attempt_of_git_token(token)
    }

    /// Whom a token of the runner API belongs to.
    pub(crate) async fn runner(&self, token: &Secret) -> Result<Option<Runner>, StoreError> {
        if let Some(attempt) = self.attempt(token) {
            return Ok(Some(Runner::Place { attempt }));
        }
        let class = self.store.class_of_token(token).await?;
        Ok(class.map(|class| Runner::Agent { class }))
    }
}

fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}
