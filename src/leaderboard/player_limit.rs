//! The limit of players: a score for a new name is rejected beyond it. Names that have a row are always accepted, also
//! after their removal.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::row_counts;

/// A new player beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {max} players, and no more are accepted")]
pub struct TooManyPlayers {
    /// The limit.
    pub max: u64,
}

/// The players that one transaction may add.
pub(super) struct PlayerLimit {
    /// 0 for no limit.
    max: u64,
    /// The number of players with those that were added; `None` before the first.
    players: Option<u64>,
}

impl PlayerLimit {
    pub(super) fn new(max: u64) -> Self {
        Self { max, players: None }
    }

    /// Counts a new player, whose row the caller inserts in this transaction.
    pub(super) fn add(&mut self, connection: &mut SqliteConnection) -> QueryResult<Result<(), TooManyPlayers>> {
        if self.max == 0 {
            return Ok(Ok(()));
        }
        let players = match self.players {
            Some(players) => players,
            None => row_counts::scores(connection)?,
        };
        let is_below = players < self.max;
        self.players = Some(players + u64::from(is_below));
        Ok(if is_below { Ok(()) } else { Err(TooManyPlayers { max: self.max }) })
    }
}
