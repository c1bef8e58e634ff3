//! Tells Git providers how commits do, from the store's outbox.
//!
//! What is to be told is written by the store, with the change that it tells of; here it is only sent. One
//! [`Lane`] works for each account, that is for the repositories of one token: one call after the other, as
//! providers ask for, and so in order. What could not be sent stays in the outbox, also over a restart.

mod lane;
mod pace;
mod turns;

use std::sync::Arc;

use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::lane::Lane;
use crate::config::{Config, StatusAccess};
use crate::error::ServerError;

/// What goes with every call.
const USER_AGENT: &str = concat!("goatherd/", env!("CARGO_PKG_VERSION"));

/// The lanes of all accounts.
#[derive(Debug)]
pub(crate) struct Statuses {
    lanes: Vec<Lane>,
}

impl Statuses {
    /// Makes a lane for each account.
    pub(crate) fn new(
        accesses: &[StatusAccess],
        store: &Store,
        public_url: &str,
    ) -> Result<Self, ServerError> {
        let mut accounts: Vec<(&StatusAccess, Vec<String>)> = Vec::new();
        for access in accesses {
            let name = access.repository().to_owned();
            match accounts.iter_mut().find(|(first, _)| first.same_account(access)) {
                Some((_, repositories)) => repositories.push(name),
                None => accounts.push((access, vec![name])),
            }
        }
        let public_url: Arc<str> = public_url.into();
        let lane = |(access, repositories): (&StatusAccess, Vec<String>)| {
            let http =
                client::http(access.api_url(), USER_AGENT).map_err(|source| ServerError::Provider {
                    url: access.api_url().to_owned(),
                    source: Box::new(source),
                })?;
            Ok(Lane::new(
                access,
                repositories,
                http,
                store.clone(),
                Arc::clone(&public_url),
            ))
        };
        let lanes = accounts
            .into_iter()
            .map(lane)
            .collect::<Result<_, ServerError>>()?;
        Ok(Self { lanes })
    }

    /// Sends what is to be sent until it is told to stop. What is not sent then is sent after the next start.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut lanes = JoinSet::new();
        for lane in self.lanes {
            lanes.spawn(lane.run(stopping.clone()));
        }
        stopping.cancelled().await;
        while let Some(ended) = lanes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "sending statuses broke off");
            }
        }
    }
}

/// Says once which repositories' providers are told nothing. Without a hook nobody expects it.
pub(crate) fn say_who_is_not_told(config: &Config) {
    if config.hooks.is_empty() {
        return;
    }
    let told = |name: &str| config.statuses.iter().any(|access| access.repository() == name);
    let without: Vec<_> = config
        .repositories
        .iter()
        .map(|repository| repository.name())
        .filter(|name| !told(name))
        .collect();
    if !without.is_empty() {
        tracing::info!(
            repositories = without.join(", "),
            "no commit statuses are sent for these: they have no `status_token_file`"
        );
    }
}
