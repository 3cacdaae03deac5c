//! The embedded broker of `m3a3 up`, which replaces Redis where none is configured.
//!
//! Owns the file with the broker's address in the data directory.

use std::net::Ipv4Addr;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::address_file::{AddressFile, Server, discover};
use crate::bus::embedded::Broker;
use crate::config::Config;
use crate::db::Location;

/// A running broker.
pub(crate) struct EmbeddedRedis {
    pub(crate) url: String,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
    /// Other commands on the same data read the broker's address from this file.
    _file: AddressFile,
}

impl EmbeddedRedis {
    /// Starts a broker, unless Redis is configured or another `m3a3 up` on the same data has a broker already.
    pub(crate) async fn start_if_needed(config: &Config) -> anyhow::Result<Option<Self>> {
        let location = Location::new(&config.database.path);
        if config.redis.url.is_some() || discover(location.folder(), Server::Broker).is_some() {
            return Ok(None);
        }
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot open a port for the broker")?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let url = format!("redis://:{password}@{}", listener.local_addr()?);
        let folder = location.folder();
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let file = AddressFile::publish(folder, Server::Broker, &url)
            .with_context(|| format!("cannot write the broker's address below {}", folder.display()))?;
        let shutdown = CancellationToken::new();
        let task = Broker::start(listener, password, shutdown.clone());
        Ok(Some(Self { url, task, shutdown, _file: file }))
    }

    /// Stops the broker.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.task.await.context("the embedded broker panicked")
    }
}
