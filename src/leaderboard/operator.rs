//! The operations of `m3a3 leaderboard` and `m3a3 doctor`.

use super::board::{CURSOR, KEY};
use super::store;
use crate::bus::{Bus, BusError, Reading};
use crate::db::{Database, DbError, Location, read_once};

/// The difference between the database and Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lag {
    /// Redis contains every commit.
    None,
    /// The number of missing commits at most.
    Behind(i64),
    /// The error with which Redis rejects writes.
    Refused(String),
}

/// Compares the cursor in Redis with the database.
///
/// # Errors
/// If Redis is disconnected or does not reply in time; the inner error if the database cannot be read.
pub async fn lag(location: &Location, bus: &Bus) -> Result<Result<Lag, DbError>, BusError> {
    let set = bus.sorted_set(KEY);
    let (cursor, _) = match set.scores_and_cursor(Vec::new(), CURSOR).await {
        Err(BusError::Refused(reason)) => return Ok(Ok(Lag::Refused(reason))),
        found => found?,
    };
    match set.check_writable().await {
        Err(BusError::Refused(reason)) => return Ok(Ok(Lag::Refused(reason))),
        checked => checked?,
    }
    let reading = Reading { cursor, writable: true };
    Ok(read_once(location, store::version).map(|version| match version.seq - version.seen(&reading).unwrap_or(0) {
        0 => Lag::None,
        behind => Lag::Behind(behind),
    }))
}

/// Deletes the cursor, so that the game servers send every score to Redis again.
///
/// # Errors
/// If Redis is disconnected, does not reply in time, or replies with an error.
pub async fn refill(bus: &Bus) -> Result<(), BusError> {
    bus.guarded_set(KEY, CURSOR).delete_cursor().await
}

/// Makes the game servers replace the content of Redis by the scores of the database.
///
/// # Errors
/// If the write fails.
pub async fn replace(database: &Database) -> Result<(), DbError> {
    database.write(store::regenerate_board_id).await
}

/// Removes a player from the database, and so from Redis. Returns whether the database had a score.
///
/// # Errors
/// If the write fails.
pub async fn remove(database: &Database, name: &crate::ids::Username) -> Result<bool, DbError> {
    let name = name.as_str().to_owned();
    database.write(move |connection| store::remove(connection, &name)).await
}
