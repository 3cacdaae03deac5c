//! Synchronization of Redis with the database. One function handles every case: a new commit, missed commits, an empty
//! or outdated Redis, a reset.
//!
//! [`RedisMirror::advance`] watches and reads the cursor, reads the rows above it in commit order, and sends them with
//! the new cursor in one transaction. Redis executes the transaction only if the cursor has not changed. So several
//! game servers need no leader: the first has applied every commit, and the others find nothing to send. Only a reset
//! removes members of other programs.

use diesel::Connection;
use diesel::sqlite::SqliteConnection;
use tokio::sync::watch;

use super::cursor::{BoardVersion, Plan, SyncState};
use super::store::{self, Commit, Row};
use crate::bus::{BusError, Guarded, Outcome, Reading, Transaction, WRONG_TYPE};
use crate::db::{Database, DbError};
use crate::events::LeaderboardUpdate;

/// The most rows of one transaction.
pub(super) const MAX_ROWS: i64 = 10_000;
/// The most attempts per call while other servers change the cursor.
const MAX_CONFLICTS: usize = 8;

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Redis contains every commit. With the requested ranks, counted from 0.
    UpToDate(Vec<Option<u64>>),
    /// More commits remain to be sent.
    Advanced,
    /// Redis is disconnected, does not reply in time, or replies with an error.
    Stalled,
}

/// Sends commits to Redis.
pub(super) struct RedisMirror<G> {
    database: Database,
    set: G,
    state: SyncState,
    refusal: watch::Sender<Option<String>>,
    refilling: watch::Sender<bool>,
}

enum Step {
    Nothing,
    /// Wait until an operator has removed a value of another type.
    Blocked,
    Send(Chunk),
}

/// A transaction, and whether Redis is up to date after it.
struct Chunk {
    transaction: Transaction,
    last: bool,
}

impl<G: Guarded> RedisMirror<G> {
    pub(super) fn new(database: Database, set: G) -> Self {
        Self {
            database,
            set,
            state: SyncState::Unknown,
            refusal: watch::Sender::new(None),
            refilling: watch::Sender::new(false),
        }
    }

    /// The error with which Redis rejects scores.
    pub(super) fn refusal(&self) -> watch::Receiver<Option<String>> {
        self.refusal.subscribe()
    }

    /// Whether the board in Redis is incomplete, because a refill takes several transactions.
    pub(super) fn refilling(&self) -> watch::Receiver<bool> {
        self.refilling.subscribe()
    }

    /// Whether a command has timed out, with no reply since.
    pub(super) fn is_silent(&self) -> bool {
        self.state == SyncState::Silent
    }

    /// Whether Redis has rejected the last transaction.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, SyncState::Refused(_))
    }

    /// Sends a commit with all earlier missed ones, if they fit into one transaction. Waits neither for a refill nor
    /// for a Redis that has not replied in time.
    pub(super) async fn follow(&mut self, commit: &Commit, names: &[String]) -> Progress {
        match self.state {
            SyncState::Refilling(_) => Progress::Advanced,
            SyncState::Silent => Progress::Stalled,
            _ => self.advance(Some(commit), names).await,
        }
    }

    /// Reads the cursor and sends missed commits, in at most one transaction.
    pub(super) async fn catch_up(&mut self) -> Progress {
        if self.is_silent() && !self.set.is_answering().await {
            return Progress::Stalled;
        }
        // An earlier reading may be outdated.
        self.watch().await;
        self.advance(None, &[]).await
    }

    async fn advance(&mut self, commit: Option<&Commit>, names: &[String]) -> Progress {
        let mut lost = false;
        for _ in 0..MAX_CONFLICTS {
            let Some(reading) = self.reading().await else { return Progress::Stalled };
            let chunk = match self.next_chunk(&reading, commit).await {
                Ok(Step::Send(chunk)) => chunk,
                Ok(Step::Nothing) => return self.up_to_date(names).await,
                Ok(Step::Blocked) => {
                    self.set_state(SyncState::Refused(format!("{WRONG_TYPE}: the key is not a sorted set")));
                    return Progress::Stalled;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read scores to send to Redis");
                    return Progress::Stalled;
                }
            };
            if !chunk.last {
                // Before the message of this chunk triggers a broadcast.
                self.set_refilling(true);
            }
            let event = match chunk.transaction.clear {
                true => LeaderboardUpdate::Seeded,
                false => LeaderboardUpdate::Changed,
            };
            let result = self.set.execute(&chunk.transaction, &event, names).await;
            self.set_state(self.state.executed(chunk.last, &result));
            match result {
                Ok((Outcome::Executed(ranks), _)) if chunk.last => {
                    self.set_refusal(None);
                    self.set_refilling(false);
                    return Progress::UpToDate(ranks);
                }
                Ok((Outcome::Executed(_), _)) if reading.writable => return Progress::Advanced,
                // The first loss may be a restart of Redis. The second is caused by this transaction.
                Err(BusError::Command(error)) if std::mem::replace(&mut lost, true) => {
                    self.set_refusal(Some(format!("a transaction closes the connection: {error}")));
                    return Progress::Stalled;
                }
                // The cursor was set back, another server has changed it, or it must be watched again.
                _ if self.state.is_open() => {}
                _ => return Progress::Stalled,
            }
        }
        Progress::Advanced
    }

    /// The reading under the current watch; `None` if the cursor cannot be read.
    async fn reading(&mut self) -> Option<Reading> {
        if !matches!(self.state, SyncState::Following(_) | SyncState::Refilling(_)) {
            self.watch().await;
        }
        match &self.state {
            SyncState::Following(reading) | SyncState::Refilling(reading) => Some(reading.clone()),
            _ => None,
        }
    }

    async fn watch(&mut self) {
        let watched = self.set.watch().await;
        self.set_state(self.state.watched(watched));
    }

    async fn up_to_date(&mut self, names: &[String]) -> Progress {
        if let SyncState::Refilling(reading) = &self.state {
            self.set_state(SyncState::Following(reading.clone()));
        }
        self.set_refusal(None);
        self.set_refilling(false);
        match self.set.ranks(names).await {
            Ok(ranks) => Progress::UpToDate(ranks),
            Err(_) => {
                self.set_state(SyncState::Unknown);
                Progress::Stalled
            }
        }
    }

    /// The next step. Reads no rows if Redis contains exactly the commits before `commit`.
    async fn next_chunk(&self, reading: &Reading, commit: Option<&Commit>) -> Result<Step, DbError> {
        if let Some(commit) = commit
            && commit.version.plan(reading) == (Plan::Send { after: commit.seq_before, clear: false })
        {
            return Ok(Step::Send(chunk(&commit.version, false, commit.rows.clone())));
        }
        // The usual case.
        if self.database.read_point(store::version)?.plan(reading) == Plan::UpToDate {
            return Ok(Step::Nothing);
        }
        let reading = reading.clone();
        self.database.read(move |connection| connection.transaction(|connection| missing(connection, &reading))).await
    }

    fn set_state(&mut self, state: SyncState) {
        if let SyncState::Refused(reason) = &state {
            self.set_refusal(Some(reason.clone()));
            // The error may last. Meanwhile the content of Redis is displayed.
            self.set_refilling(false);
        }
        self.state = state;
    }

    fn set_refilling(&self, refilling: bool) {
        self.refilling.send_if_modified(|known| std::mem::replace(known, refilling) != refilling);
    }

    fn set_refusal(&self, refusal: Option<String>) {
        if *self.refusal.borrow() == refusal {
            return;
        }
        match &refusal {
            Some(reason) => tracing::warn!(reason, "Redis rejects the scores of the leaderboard, retrying"),
            None => tracing::info!("Redis accepts the scores of the leaderboard again"),
        }
        self.refusal.send_replace(refusal);
    }
}

/// The next step, from one snapshot of the database; with at most [`MAX_ROWS`] rows.
fn missing(connection: &mut SqliteConnection, reading: &Reading) -> diesel::QueryResult<Step> {
    let version = store::version(connection)?;
    Ok(match version.plan(reading) {
        Plan::UpToDate => Step::Nothing,
        Plan::Blocked => Step::Blocked,
        Plan::Rewind => {
            let cursor = version.cursor_at(version.reset_seq);
            Step::Send(Chunk { transaction: Transaction { cursor, ..Transaction::default() }, last: false })
        }
        Plan::Send { after, clear } => {
            Step::Send(chunk(&version, clear, store::rows_above(connection, after, MAX_ROWS)?))
        }
    })
}

/// The transaction for these rows: all rows above the cursor, or the first [`MAX_ROWS`].
fn chunk(version: &BoardVersion, clear: bool, rows: Vec<Row>) -> Chunk {
    let sent = match rows.last() {
        Some(row) if rows.len() as i64 >= MAX_ROWS => row.seq,
        _ => version.seq,
    };
    let mut transaction = Transaction { clear, cursor: version.cursor_at(sent), ..Transaction::default() };
    for Row { username, score, .. } in rows {
        match score {
            Some(score) => transaction.set.push((username, score)),
            None => transaction.remove.push(username),
        }
    }
    Chunk { transaction, last: sent == version.seq }
}

#[cfg(test)]
mod model_tests;
