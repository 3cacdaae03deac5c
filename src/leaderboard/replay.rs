//! What Redis missed, sent later: after it was away, after a process died, and when it came back empty.
//!
//! A Redis that comes back is another one, by the `run_id` of its INFO. Where it has no board then, it is filled from the
//! database; a board that another program deletes from a running Redis stays deleted. Scores go out in portions, so that
//! new ones are not kept waiting, and members of other programs stay.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ledger::{Ledger, corrected_by};
use super::scoring::Request;
use super::store;
use super::unsent::{self, Earlier, Unsent};
use crate::bus::{BusError, Change};
use crate::db::{self, DbError};
use crate::events::LeaderboardUpdate;

/// How long a Redis that was silent may take to answer something small.
const PROBE: Duration = Duration::from_millis(200);
/// How long Redis may take for a portion.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many scores a portion has.
const PORTION: i64 = 10_000;
/// How many requests are served between two portions at most.
const BETWEEN: usize = 512;
/// After how long a note that has not changed is anyone's to see to, in milliseconds: its owner is dead, or cannot reach
/// Redis. To send a score twice does no harm.
const ABANDONED_MS: i64 = 5_000;

/// Why Redis still misses something.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error("{0}")]
    Redis(#[from] BusError),
    #[error("it does not answer in time")]
    Silent,
    #[error("{0}")]
    Database(#[from] DbError),
}

impl Ledger {
    /// Sends what Redis may have missed, if it is there, and serves what is handed in meanwhile.
    /// Who waits for that is told when Redis has got everything, or refuses it.
    pub(super) async fn catch_up(&mut self, requests: &mut mpsc::Receiver<Request>) {
        if self.set.is_connected() && self.catch_up_or_complain(requests).await {
            for awaiting in self.awaited_by.drain(..) {
                // It may have stopped waiting.
                let _ = awaiting.send(());
            }
        }
    }

    /// Whether it makes no sense to wait any longer.
    async fn catch_up_or_complain(&mut self, requests: &mut mpsc::Receiver<Request>) -> bool {
        let Err(error) = self.try_catch_up(requests).await else {
            self.complained = false;
            return true;
        };
        let refused = matches!(error, ReplayError::Redis(BusError::Refused(_)));
        self.silent |= !refused;
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(%error, "Redis does not have every score yet; trying again");
        }
        refused
    }

    async fn try_catch_up(&mut self, requests: &mut mpsc::Receiver<Request>) -> Result<(), ReplayError> {
        let presence = timeout(PROBE, self.set.presence()).await;
        let (run_id, exists) = presence.map_err(|_| ReplayError::Silent)??;
        self.silent = false;
        if self.redis.as_ref() != Some(&run_id) {
            self.meet(&run_id, exists).await;
        }
        self.verify().await?;
        let abandoned = db::now() - ABANDONED_MS;
        let owner = self.owner.clone();
        for unsent in self.database.read_point(|connection| unsent::unsent(connection, &owner, abandoned))? {
            if unsent.owner != self.owner || self.earlier == Earlier::Unsent {
                self.replay(&unsent, requests).await?;
            }
        }
        self.settle().await
    }

    /// Notes which Redis this is, and that it is to be filled if it came without a board.
    pub(super) async fn meet(&mut self, run_id: &str, had_board: bool) {
        let (owner, met, earlier) = (self.owner.clone(), run_id.to_owned(), self.earlier);
        let filling = self.database.write(move |connection| {
            if !unsent::meet_redis(connection, &met, had_board)? {
                return Ok(false);
            }
            let last_seq = store::last_seq(connection)?;
            if last_seq == 0 {
                return Ok(false);
            }
            let note = Unsent { owner, first_seq: 0, last_seq, reset: false };
            unsent::note_unsent(connection, &note, earlier, db::now())?;
            Ok(true)
        });
        match filling.await {
            Ok(filling) => {
                self.redis = Some(run_id.to_owned());
                if filling {
                    tracing::info!("Redis has come without the leaderboard, filling it from the database");
                    self.earlier = Earlier::Unsent;
                    self.noted = true;
                }
            }
            // The next thing sent meets it again.
            Err(error) => tracing::error!(%error, "a new Redis could not be noted"),
        }
    }

    /// Sends everything from a note's first commit on. A note of another process is removed then; one's own is when it
    /// settles.
    async fn replay(&mut self, unsent: &Unsent, requests: &mut mpsc::Receiver<Request>) -> Result<(), ReplayError> {
        self.missed = false;
        if unsent.reset {
            let emptied = timeout(PATIENCE, self.set.replace(&[], &LeaderboardUpdate::Seeded));
            emptied.await.map_err(|_| ReplayError::Silent)??;
        }
        self.send_portions(unsent, requests).await?;
        if unsent.owner != self.owner {
            let (owner, last_seq) = (unsent.owner.clone(), unsent.last_seq);
            self.database.write(move |connection| unsent::note_sent(connection, &owner, last_seq)).await?;
        } else if !self.missed {
            self.earlier = Earlier::Sent;
        }
        tracing::info!(from = unsent.first_seq, "Redis has the scores that it had missed");
        Ok(())
    }

    async fn send_portions(
        &mut self,
        unsent: &Unsent,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), ReplayError> {
        let first_seq = unsent.first_seq;
        let mut after = String::new();
        let mut waiting = Vec::new();
        loop {
            let seen = self.database.read_point(store::last_seq)?;
            let from = after.clone();
            let portion = self.database.read(move |c| store::scores_from(c, first_seq, &from, PORTION)).await?;
            let Some((last, _)) = portion.last() else { break };
            after = last.clone();
            let names = portion.iter().map(|(name, _)| name.clone()).collect();
            self.deliver(Change { set: portion, ..Change::default() }).await?;
            self.correct(names, seen).await?;
            while waiting.len() < BETWEEN
                && let Ok(request) = requests.try_recv()
            {
                waiting.push(request);
            }
            self.serve(&mut waiting).await;
        }
        let nothing_more = Change::default();
        let announced = self.set.change_and_announce(&nothing_more, &LeaderboardUpdate::Changed);
        timeout(PATIENCE, announced).await.map_err(|_| ReplayError::Silent)??;
        Ok(())
    }

    async fn deliver(&self, change: Change) -> Result<(), ReplayError> {
        timeout(PATIENCE, self.set.change(&change)).await.map_err(|_| ReplayError::Silent)??;
        Ok(())
    }

    /// Sends what other processes have committed over these players since `seq`, until there is nothing of that kind.
    /// Returns the last commit that was looked at.
    async fn correct(&self, mut names: Vec<String>, mut seq: i64) -> Result<i64, ReplayError> {
        loop {
            let (last, corrections) = self.database.read_point(|connection| {
                let last = store::last_seq(connection)?;
                let changed = if last == seq { Vec::new() } else { store::changed_since(connection, &names, seq)? };
                Ok((last, changed))
            })?;
            seq = last;
            if corrections.is_empty() {
                return Ok(seq);
            }
            names = corrections.iter().map(|(name, _)| name.clone()).collect();
            self.deliver(corrected_by(corrections, |_| true)).await?;
        }
    }

    /// Looks whether what was sent last is still what was committed last.
    async fn verify(&mut self) -> Result<(), ReplayError> {
        if self.unverified.is_empty() {
            return Ok(());
        }
        match self.correct(self.unverified.clone(), self.seq).await {
            Ok(seq) => {
                self.seq = seq;
                self.unverified.clear();
                Ok(())
            }
            Err(error) => {
                self.earlier = Earlier::Unsent;
                Err(error)
            }
        }
    }

    /// Removes this process's note if Redis has everything.
    pub(super) async fn settle(&mut self) -> Result<(), ReplayError> {
        self.verify().await?;
        if self.noted && self.earlier == Earlier::Sent {
            let owner = self.owner.clone();
            self.database.write(move |connection| unsent::note_sent(connection, &owner, i64::MAX)).await?;
            self.noted = false;
        }
        Ok(())
    }
}
