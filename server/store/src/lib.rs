//! Durable state: pipelines, jobs, attempts, output, artifacts' names, audit, the webhook inbox, tokens, and
//! what Git providers are to be told.
//!
//! The store alone knows what is so. The rules about who may change what are in `queue`; the store applies
//! them inside its transactions, keeps what came out, and answers only what is on disk. [`Store`] is the
//! contract; SQLite is behind it in the module `sqlite`, and nothing outside that module knows SQL.
//!
//! It does not speak HTTP, does not read configs and does not keep artifacts' bytes.

mod absence;
mod clock;
mod environment;
mod error;
mod folder;
mod input;
mod sqlite;
mod store;
mod token;

pub use error::{Lock, Loss, StoreError};
pub use input::{
    Accepted, Again, Delivery, Durability, FetchedTask, Kept, NewPipeline, Origin, Reach, Removal, Removed,
    Rerun, Scope, Settings, Sizes, Uncompiled, UnsentStatus, Which,
};
pub use queue::{CommitStatus, Refusal, Reporter, StatusState, Time};
pub use store::Store;
