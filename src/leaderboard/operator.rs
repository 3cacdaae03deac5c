//! What operators and `m3a3 doctor` ask of the leaderboard.

use super::board::{CURSOR, KEY};
use super::store;
use crate::bus::{Bus, BusError, Reading};
use crate::db::{Database, DbError, Location, read_once};

/// What stands between the database and Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lag {
    /// Nothing: Redis has every commit.
    None,
    /// Redis has not every commit yet. How many it misses at most.
    Behind(i64),
    /// Redis refuses to be written, for this reason.
    Refused(String),
}

/// Looks how far Redis is.
///
/// # Errors
/// When Redis is away or silent; the inner error when the database cannot be read.
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

/// Makes the game servers send every score to Redis again, by deleting the cursor.
///
/// # Errors
/// When Redis is away, silent, or refuses.
pub async fn refill(bus: &Bus) -> Result<(), BusError> {
    bus.guarded_set(KEY, CURSOR).delete_cursor().await
}

/// Makes the game servers replace whatever Redis holds by the scores of the database.
///
/// # Errors
/// When the write fails.
pub async fn replace(database: &Database) -> Result<(), DbError> {
    database.write(store::regenerate_board_id).await
}

/// Removes a player from the database; the game servers remove it from Redis. Whether m3a3 had a score of it.
///
/// # Errors
/// When the write fails.
pub async fn remove(database: &Database, name: &crate::ids::Username) -> Result<bool, DbError> {
    let name = name.as_str().to_owned();
    database.write(move |connection| store::remove(connection, &name)).await
}
