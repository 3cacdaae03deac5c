//! The database and Redis, for commands that do one thing and exit.

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use super::redis_address;
use crate::bus::Bus;
use crate::config::Config;
use crate::db::{Database, Location};

/// Opens the database, runs `work` on it, and waits until its writes are durable.
///
/// Fails where no database exists: creating one would only hide a wrong path.
pub(crate) async fn with_database<T>(
    config: &Config,
    work: impl AsyncFnOnce(Database) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let location = Location::new(&config.database.path);
    if !location.path().exists() {
        bail!("{} is not there (check database.url and the working directory)", location.path().display());
    }
    let (database, writer) = Database::open(&location)?;
    let result = work(database).await;
    writer.close().await;
    result
}

/// Starts to connect to Redis, runs `work`, and sends the last messages.
pub(crate) async fn with_redis<T>(
    config: &Config,
    work: impl AsyncFnOnce(Bus) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let shutdown = CancellationToken::new();
    let (bus, task) = Bus::start(&redis_address::current(config), shutdown.clone())?;
    let result = work(bus).await;
    shutdown.cancel();
    task.finished().await;
    result
}
