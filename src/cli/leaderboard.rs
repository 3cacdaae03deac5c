//! `m3a3 leaderboard`: what operators do to the board.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::composition::runtime::{expected_redis, open_existing};
use super::output;
use crate::bus::Bus;
use crate::config::Config;
use crate::ids::Username;
use crate::leaderboard;

/// How long Redis may take to be connected.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// Refill the board in Redis, remove a player
#[derive(Subcommand)]
pub(super) enum Leaderboard {
    Refill(Refill),
    Remove(Remove),
}

/// Send every score of the database to Redis again
///
/// Deletes the cursor that says how far Redis is. A running game server notices that within a second. Players that only
/// other programs have written stay, unless the board was seeded before.
#[derive(Args)]
pub(super) struct Refill {
    /// Empty the board first: after the database was restored from a backup
    #[arg(long)]
    replace: bool,
}

/// Remove a player from the board
#[derive(Args)]
pub(super) struct Remove {
    /// The player's name
    #[arg(value_name = "NAME")]
    name: String,
}

impl Leaderboard {
    pub(super) async fn run(&self, config: &Config) -> anyhow::Result<ExitCode> {
        match self {
            Self::Refill(Refill { replace: false }) => refill(config).await,
            Self::Refill(Refill { replace: true }) => replace(config).await,
            Self::Remove(Remove { name }) => remove(config, name).await,
        }
    }
}

async fn refill(config: &Config) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    let (bus, task) = Bus::start(&expected_redis(config), shutdown.clone())?;
    let refilled = match timeout(REDIS_TIMEOUT, bus.connected()).await {
        Ok(()) => leaderboard::refill(&bus).await.context("the cursor cannot be deleted"),
        Err(_) => Err(anyhow::anyhow!("Redis cannot be reached (check redis.url, or start it)")),
    };
    shutdown.cancel();
    task.finished().await;
    refilled?;
    output::print("the game servers send every score to Redis again\n")?;
    Ok(ExitCode::SUCCESS)
}

async fn replace(config: &Config) -> anyhow::Result<ExitCode> {
    let (database, writer) = open_existing(config)?;
    let replaced = leaderboard::replace(&database).await;
    writer.close().await;
    replaced?;
    output::print("the game servers replace the board in Redis\n")?;
    Ok(ExitCode::SUCCESS)
}

async fn remove(config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let name: Username = name.parse().map_err(|invalid| anyhow::anyhow!("NAME: {invalid}"))?;
    let (database, writer) = open_existing(config)?;
    let removed = leaderboard::remove(&database, &name).await;
    writer.close().await;
    if !removed? {
        bail!(
            "m3a3 has no score of {}; if another program has written one, it is removed from Redis all the same",
            name.as_str()
        );
    }
    output::print("removed\n")?;
    Ok(ExitCode::SUCCESS)
}
