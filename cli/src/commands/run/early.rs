//! What is made ready while the snapshot is taken, because neither needs the other: it is waited for in processes and
//! at the disk.
//!
//! Only in the run's temporary folder. A folder that was given is not touched before it is clear what is to run.

use std::path::PathBuf;

use anyhow::Context as _;
use server::{App, Config, OpenStore, ServerError};

use crate::config::Places;
use crate::error::Failure;
use crate::together::Ground;

/// Where jobs run, and the server's store; or why they cannot be had.
#[derive(Debug)]
pub(super) struct Early {
    ground: Result<Ground, Failure>,
    store: Result<OpenStore, ServerError>,
}

impl Early {
    /// Prepares both. Nothing is said about it yet.
    pub(super) async fn prepare(folder: PathBuf, places: &Places, config: &Config) -> Self {
        let (ground, store) = tokio::join!(Ground::prepare(folder, places), OpenStore::open(config));
        Self { ground, store }
    }

    /// Prepares one after the other, so that a folder that was given is not touched where no job could run.
    pub(super) async fn prepare_in_turn(
        folder: PathBuf,
        places: &Places,
        config: &Config,
    ) -> Result<Self, Failure> {
        let ground = Ground::prepare(folder, places).await?;
        let store = OpenStore::open(config).await;
        Ok(Self {
            ground: Ok(ground),
            store,
        })
    }

    /// The two, for a server with this configuration.
    pub(super) async fn take(self, config: Config) -> Result<(Ground, App), Failure> {
        let ground = match self.ground {
            Ok(ground) => ground,
            Err(failure) => {
                close(self.store).await;
                return Err(failure);
            }
        };
        let app = match self.store {
            Ok(store) => App::build_on(store, config).await,
            Err(error) => Err(error),
        };
        Ok((ground, app.context("cannot start the server")?))
    }

    /// Nothing is run after all. After this nothing is written any more.
    pub(super) async fn let_go(self) {
        close(self.store).await;
    }
}

async fn close(store: Result<OpenStore, ServerError>) {
    if let Ok(store) = store {
        store.close().await;
    }
}
