//! The example board.

use tokio::time::timeout;

use super::ledger::{Ledger, PATIENCE};
use super::scoring::ScoringError;
use super::store;
use super::unsent::{self, Earlier, Unsent};
use crate::db;
use crate::events::LeaderboardUpdate;

/// The players of the example board, each with ten points less than the one before, from this number down.
const SEED_TOP: u32 = 100;
const SEED_PLAYERS: u32 = 10;

impl Ledger {
    /// Replaces the whole board by it, whatever the key in Redis holds.
    pub(super) async fn seed(&mut self) -> Result<(), ScoringError> {
        let players: Vec<(String, f64)> = (1..=SEED_PLAYERS)
            .map(|number| (format!("Player {number}"), f64::from(SEED_TOP - 10 * (number - 1))))
            .collect();
        let (owner, seeded) = (self.owner.clone(), players.clone());
        let committed = self.database.write(move |connection| {
            let first_seq = store::last_seq(connection)? + 1;
            let last_seq = store::seed(connection, &seeded)?;
            let note = Unsent { owner, first_seq, last_seq, reset: true };
            unsent::note_unsent(connection, &note, Earlier::Sent, db::now())?;
            Ok(last_seq)
        });
        self.seq = committed.await?;
        self.noted = true;
        // Whatever was sent before, nothing of it remains.
        self.unverified.clear();
        if self.is_away() {
            self.miss();
            return Ok(());
        }
        match timeout(PATIENCE, self.set.replace(&players, &LeaderboardUpdate::Seeded)).await {
            Ok(Ok(())) => {
                self.unverified = players.into_iter().map(|(name, _)| name).collect();
                self.earlier = Earlier::Sent;
            }
            Ok(Err(_)) | Err(_) => self.fall_silent(),
        }
        Ok(())
    }
}
