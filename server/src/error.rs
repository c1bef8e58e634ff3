//! Why a server cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use store::StoreError;

/// The server's own failure: it does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Choose a loopback address, or do without `--dev`.
    #[error("{address} can be reached from other machines; here only a loopback address may be listened on")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Choose another address, or stop what has it.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The store: also when another server holds the data folder.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The data folder cannot be used.
    #[error("cannot use {}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A Git provider's API cannot be called from here.
    #[error("cannot send statuses to {url}")]
    Provider {
        /// The API's URL.
        url: String,
        /// Why not.
        #[source]
        source: Box<client::ClientError>,
    },
    /// The store did not close in time: its disk does not answer.
    #[error("the store could not be closed in time")]
    NotClosed,
    /// A part of the server ended by itself: a fault of ours.
    #[error("a part of the server ended unexpectedly")]
    Ended,
}
