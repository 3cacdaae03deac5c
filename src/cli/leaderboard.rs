//! `m3a3 leaderboard`: repairs the board in Redis, and removes players.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueHint};
use tokio::time::timeout;

use super::composition::data_access::{with_database, with_redis};
use super::output;
use super::subcommand::{Launcher, Subcommand};
use crate::config::Config;
use crate::ids::Username;
use crate::leaderboard;

/// How long the connection to Redis may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Refill the leaderboard in Redis, remove players
#[derive(clap::Subcommand)]
pub(super) enum Leaderboard {
    Refill(Refill),
    Remove(Remove),
}

/// Send every score to Redis again
///
/// Deletes the cursor of the sync. A running game server notices this within a second. Players that only other clients
/// have written to Redis stay, unless the board was seeded before.
#[derive(Args)]
pub(super) struct Refill {
    /// Clear the board first, such as after restoring a backup of the database
    #[arg(long)]
    replace: bool,
}

/// Remove a player from the board
#[derive(Args)]
pub(super) struct Remove {
    /// Player name
    #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
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
    with_redis(config, async |bus| match timeout(CONNECT_TIMEOUT, bus.connected()).await {
        Ok(()) => leaderboard::refill(&bus).await.context("cannot delete the cursor"),
        Err(_) => bail!("Redis is unreachable (check redis.url, or start Redis)"),
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
            "no score of {} is stored; a score that another client has written to Redis is removed nevertheless",
            name.as_str()
        );
    }
    output::print("removed\n")
}
