//! `m3a3 leaderboard`: what operators do to the board.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::time::timeout;

use super::composition::data_access::{with_database, with_redis};
use super::output;
use super::subcommand::{Launcher, Subcommand};
use crate::config::Config;
use crate::ids::Username;
use crate::leaderboard;

/// How long Redis may take to be connected.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// Refill the board in Redis, remove a player
#[derive(clap::Subcommand)]
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

impl Subcommand for Leaderboard {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async |config| {
            match self {
                Self::Refill(Refill { replace: false }) => refill(config).await?,
                Self::Refill(Refill { replace: true }) => replace(config).await?,
                Self::Remove(Remove { name }) => remove(config, &name).await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn refill(config: &Config) -> anyhow::Result<()> {
    with_redis(config, async |bus| match timeout(REDIS_TIMEOUT, bus.connected()).await {
        Ok(()) => leaderboard::refill(&bus).await.context("the cursor cannot be deleted"),
        Err(_) => bail!("Redis cannot be reached (check redis.url, or start it)"),
    })
    .await?;
    output::print("the game servers send every score to Redis again\n")
}

async fn replace(config: &Config) -> anyhow::Result<()> {
    with_database(config, async |database| Ok(leaderboard::replace(&database).await?)).await?;
    output::print("the game servers replace the board in Redis\n")
}

async fn remove(config: &Config, name: &str) -> anyhow::Result<()> {
    let name: Username = name.parse().map_err(|invalid| anyhow!("NAME: {invalid}"))?;
    let removed = with_database(config, async |database| Ok(leaderboard::remove(&database, &name).await?)).await?;
    if !removed {
        bail!(
            "m3a3 has no score of {}; if another program has written one, it is removed from Redis all the same",
            name.as_str()
        );
    }
    output::print("removed\n")
}
