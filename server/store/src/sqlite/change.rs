//! What an operation works with: the open transaction, the memory, the time.

use api::Secret;
use queue::Time;
use rusqlite::Connection;

use super::memory::Memory;
use crate::input::Settings;

/// One operation's view of the store. What it does is kept when it succeeds and its transaction commits.
pub(crate) struct Change<'a> {
    /// The connection, inside a savepoint.
    pub(crate) sql: &'a Connection,
    /// The active jobs and agents.
    pub(crate) memory: &'a mut Memory,
    /// The operation's time.
    pub(crate) now: Time,
    /// What the operator decided.
    pub(crate) settings: &'a Settings,
    /// Who this installation is.
    pub(crate) identity: &'a Identity,
    /// Set where something that is not written is news all the same, such as a presence that ended.
    pub(crate) news: bool,
}

/// What was made at the first start and stays.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The installation's id.
    pub(crate) installation: String,
    /// The server's key.
    pub(crate) server_key: Secret,
}
