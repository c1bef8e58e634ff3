//! Git providers: what their webhooks mean, how one knows that they sent them, and how they are told how a
//! commit does.
//!
//! The server knows a [`Trigger`], never a payload. A provider is a type that implements [`Forge`] and a
//! line in [`registry`](crate::registry). Nothing here does I/O, and nothing here trusts a payload with
//! more than names: where to clone from is the server's own configuration.

mod github;
pub mod registry;
mod signature;
mod status;

use std::fmt;

use api::Secret;
use http::HeaderMap;

pub use github::GitHub;
pub use status::{Response, Status, StatusRequest, StatusState, Verdict};

/// A Git provider.
///
/// A delivery is verified over its raw bytes before anything of it is parsed: the only way to
/// [`decode`](Forge::decode) is through the [`Verified`] that [`verify`](Forge::verify) gives.
pub trait Forge: Send + Sync + fmt::Debug {
    /// The provider's word in the configuration.
    fn name(&self) -> &'static str;

    /// Checks the provider's own signature of the raw body, in constant time. No header of another
    /// provider and no weaker scheme counts.
    ///
    /// # Errors
    /// [`ForgeError::Unsigned`] and [`ForgeError::WrongSignature`].
    fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        secret: &Secret,
    ) -> Result<Verified<'a>, ForgeError>;

    /// Says what a verified delivery asks for.
    ///
    /// # Errors
    /// [`ForgeError::Malformed`].
    fn decode(&self, delivery: &Verified<'_>) -> Result<Event, ForgeError>;

    /// The API's URL where the operator gives no other.
    fn api_url(&self) -> &'static str;

    /// The call that sets the status of a commit. The last one of a context counts, so a repeat does no harm.
    fn status(&self, api_url: &str, repository: &str, commit: &str, status: &Status<'_>) -> StatusRequest;

    /// What the answer to [`status`](Self::status) means.
    fn verdict(&self, response: &Response<'_>) -> Verdict;
}

/// A delivery whose signature was found good.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Verified<'_> {
    /// A header's text, where it is there once and is text.
    fn header(&self, name: &str) -> Option<&str> {
        single(self.headers, name).and_then(|value| value.to_str().ok())
    }
}

/// A header's value; none where it is missing or there twice, because then nobody knows which one counts.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a http::HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// A delivery in the server's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The provider's id of this delivery, where it gives one: a delivery that is sent again has the same.
    pub delivery: Option<String>,
    /// The provider's word for what happened.
    pub name: String,
    /// What is to be done.
    pub trigger: Trigger,
}

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Somebody pushed: start a pipeline.
    Push(Push),
    /// The provider asks whether the hook works.
    Ping,
    /// Nothing is to be done.
    Ignored {
        /// Why, for people.
        why: String,
    },
}

/// A push of a branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The repository's full name, such as `acme/app`.
    pub repository: String,
    /// The commit, in full: 40 or 64 lower-case hexadecimal digits.
    pub commit: String,
    /// The ref, such as `refs/heads/main`.
    pub reference: String,
    /// Who pushed, where the provider says so.
    pub pusher: Option<String>,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgeError {
    /// It carries no signature of the provider's current scheme.
    #[error("the delivery has no `{header}` header")]
    Unsigned {
        /// The header that is wanted.
        header: &'static str,
    },
    /// Its signature is not that of this body under this secret.
    #[error("the signature in `{header}` is wrong")]
    WrongSignature {
        /// The header.
        header: &'static str,
    },
    /// It is signed, but makes no sense.
    #[error("{0}")]
    Malformed(String),
}
