//! Why a call is not taken.

/// Why a call is not taken. It has changed nothing, with one exception: a task agent whose *began* or finish is
/// refused with 409 was heard all the same. That renews its lease, because it counts from its last *answered*
/// call, and binds the attempt if it was its first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 410: the attempt, incarnation, instance or nonce is over. The caller stops what it runs and forgets it.
    #[error("this attempt, incarnation, instance or nonce is over")]
    Gone,
    /// 409: the attempt is being cancelled, so no step may begin.
    #[error("the attempt is being cancelled, so no step may begin")]
    Cancelling,
    /// 409: the attempt may not be given back. It is still open; the caller may fail it.
    #[error("the attempt may not be given back: its steps began, or it was the last attempt")]
    RetriesExhausted,
    /// 409: output before the terminal record is not stored yet. The caller sends it and finishes again.
    #[error("output is missing from number {first} on")]
    OutputMissing {
        /// The first number that is not stored.
        first: u64,
    },
    /// 409: something else is in the way.
    #[error("{0}")]
    Conflict(String),
    /// 403: the token is good, but not for this.
    #[error("{0}")]
    Forbidden(String),
    /// 400: the call makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// 404: there is no such attempt.
    #[error("there is no such attempt")]
    NotFound,
}
