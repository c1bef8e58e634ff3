//! Puts the parts together, serves, and takes them apart in order.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::Secret;
use api::people::TokenRequest;
use axum::Router;
use store::{Settings, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::artifacts::Artifacts;
use crate::auth::Auth;
use crate::compile::Compiler;
use crate::config::{Config, Durability, Exposure, Limits, Repository};
use crate::error::ServerError;
use crate::git::Mirrors;
use crate::http::{self, Shared};
use crate::retention::Keeper;
use crate::room::Room;
use crate::secrets::Secrets;
use crate::statuses::{self, Statuses};

/// How long the parts of the server, and then the store, get to end.
const CLOSING: Duration = Duration::from_secs(10);
/// How much of webhook bodies is in memory at once, in MiB.
const WEBHOOK_SPACE: usize = 256;

/// A store that is open, for a server whose configuration is not complete yet.
#[derive(Debug)]
pub struct OpenStore(Store);

impl OpenStore {
    /// Opens the store of a configuration's data folder.
    ///
    /// # Errors
    /// When the data folder is held or cannot be used, or the address is not one that the configuration allows.
    pub async fn open(config: &Config) -> Result<Self, ServerError> {
        if config.exposure == Exposure::Loopback && !config.listen.ip().is_loopback() {
            return Err(ServerError::NotLoopback {
                address: config.listen,
            });
        }
        Ok(Self(open_store(config).await?))
    }

    /// Closes it: no server will be built on it.
    pub async fn close(self) {
        self.0.close().await;
    }
}

/// A server that listens already, and serves once it [`run`](App::run)s.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    address: SocketAddr,
    public_url: String,
    router: Router,
    limits: Limits,
    compiler: Compiler,
    statuses: Statuses,
    /// None where all is thrown away soon.
    keeper: Option<Keeper>,
    room: Arc<Room>,
    store: Store,
    stopping: CancellationToken,
    first_admin_token: Option<Secret>,
}

impl App {
    /// Opens the store and binds the address. Nothing is answered before [`run`](App::run).
    ///
    /// # Errors
    /// When the data folder is held or cannot be used, or the address cannot be listened on.
    pub async fn build(config: Config) -> Result<Self, ServerError> {
        // The store first: of two servers with one configuration, the second is to hear who holds the
        // folder and not that the port is taken. The admin token last: it is shown only once.
        let store = OpenStore::open(&config).await?;
        Self::build_on(store, config).await
    }

    /// The rest of [`build`](Self::build), on a store that is open: of the configuration, only repositories, variables
    /// and tokens may differ from what the store was opened with.
    ///
    /// # Errors
    /// As [`build`](Self::build). The store is closed then.
    pub async fn build_on(store: OpenStore, config: Config) -> Result<Self, ServerError> {
        let OpenStore(store) = store;
        let built = Self::with_store(config, store.clone()).await;
        if built.is_err() {
            store.close().await;
        }
        built
    }

    async fn with_store(config: Config, store: Store) -> Result<Self, ServerError> {
        let (listener, address) = listen(config.listen).await?;
        let folder = |source| ServerError::Folder {
            path: config.data.clone(),
            source,
        };
        let mirrors = Arc::new(Mirrors::open(&config.data, &config.git).map_err(folder)?);
        let artifacts = Artifacts::open(&config.data).map_err(folder)?;
        let public_url = config.public_url.clone().unwrap_or_else(|| url_of(address));
        let statuses = Statuses::new(&config.statuses, &store, &public_url)?;
        statuses::say_who_is_not_told(&config);
        let room = Arc::new(Room::of(&config.data, config.least_free));
        let keeper = (config.durability == Durability::Lasting).then(|| Keeper {
            store: store.clone(),
            artifacts: artifacts.clone(),
            settings: config.retention,
        });
        let stopping = CancellationToken::new();
        let wake = Arc::new(Notify::new());
        let repositories: Arc<[Repository]> = config.repositories.into();
        let shared = Shared {
            store: store.clone(),
            auth: Auth::new(store.clone(), config.admin_token.as_ref()),
            hooks: config.hooks,
            repositories: Arc::clone(&repositories),
            extra_environment: config.extra_environment,
            extra_secrets: config.extra_secrets,
            artifacts,
            room: Arc::clone(&room),
            largest_artifact: config.largest_artifact,
            secrets: Secrets::new(config.secrets),
            mirrors: Arc::clone(&mirrors),
            longest_poll: config.terms.long_poll,
            wake: Arc::clone(&wake),
            stopping: stopping.clone(),
            webhook_space: Semaphore::new(WEBHOOK_SPACE),
        };
        let first_admin_token = store.first_admin_token().await?;
        Ok(Self {
            listener,
            address,
            public_url,
            router: http::router(Arc::new(shared)),
            limits: config.limits,
            compiler: Compiler {
                store: store.clone(),
                mirrors,
                repositories,
                settings: config.git,
                time_limit: config.time_limit,
                wake,
                complaint: Mutex::default(),
            },
            statuses,
            keeper,
            room,
            store,
            stopping,
            first_admin_token,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL under which agents and task agents reach it.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The admin token, where it was made just now: show it, it is not kept.
    #[must_use]
    pub const fn first_admin_token(&self) -> Option<&Secret> {
        self.first_admin_token.as_ref()
    }

    /// Makes a token for the agents of a resource class; `actor` is who asked, for the audit log.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_class_token(
        &self,
        request: &TokenRequest,
        actor: &str,
    ) -> Result<Secret, ServerError> {
        Ok(self.store.create_class_token(request, actor).await?)
    }

    /// Serves until `shutdown`. Then waiting calls are answered, the others get some seconds to end, and the
    /// store is closed: the data folder is free when this returns.
    ///
    /// # Errors
    /// When serving fails, or a part of the server ends by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let Self {
            listener,
            address,
            router,
            limits,
            compiler,
            statuses,
            keeper,
            room,
            store,
            stopping,
            ..
        } = self;
        let mut parts = JoinSet::new();
        parts.spawn(compiler.run(stopping.clone()));
        parts.spawn(statuses.run(stopping.clone()));
        parts.spawn(crate::clock::run(store.clone(), stopping.clone()));
        if let Some(keeper) = keeper {
            parts.spawn(keeper.run(stopping.clone()));
        }
        parts.spawn(crate::room::watch(room, stopping.clone()));
        let mut serving = tokio::spawn(crate::serve::serve(listener, router, limits, stopping.clone()));
        tracing::info!(%address, "serving");

        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            _ = &mut serving => Err(ServerError::Ended),
            _ = parts.join_next() => Err(ServerError::Ended),
        };
        stopping.cancel();
        if !serving.is_finished() && serving.await.is_err() {
            tracing::error!("serving broke off");
        }
        let closed = tokio::time::timeout(CLOSING, async {
            while parts.join_next().await.is_some() {}
            store.close().await;
        });
        if closed.await.is_err() {
            // A disk that does not answer must not keep the process: what was answered is in the log that
            // SQLite keeps, and the next start checks the file.
            tracing::error!("the store could not be closed in time");
            return ended.and(Err(ServerError::NotClosed));
        }
        tracing::info!("stopped");
        ended
    }
}

/// Makes a token for the agents of a resource class while no server runs.
///
/// # Errors
/// When the store cannot be opened (a running server holds it) or fails.
pub async fn create_class_token(
    config: &Config,
    request: &TokenRequest,
    actor: &str,
) -> Result<Secret, ServerError> {
    let store = open_store(config).await?;
    let token = store.create_class_token(request, actor).await;
    store.close().await;
    Ok(token?)
}

async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let settings = Settings {
        terms: config.terms.clone(),
        default_resource_class: config.default_resource_class.clone(),
        default_time_limit: config.default_time_limit,
        status_repositories: config
            .statuses
            .iter()
            .map(|access| access.repository().to_owned())
            .collect(),
        durability: config.durability,
    };
    Store::open(&config.data, settings).await
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let wrong = |source| ServerError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    Ok((listener, bound))
}

/// The URL of an address; of one that stands for all, the loopback's.
fn url_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}", v6.port()),
        other => format!("http://{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_is_no_url() {
        for (address, url) in [
            ("127.0.0.1:80", "http://127.0.0.1:80"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(url_of(address.parse().unwrap()), url);
        }
    }
}
