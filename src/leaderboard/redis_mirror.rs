//! The board in Redis, kept equal to the database by one function for every case: a fresh batch, commits that were missed,
//! an empty Redis, an older one, a reset.
//!
//! [`RedisMirror::advance`] reads the cursor under a watch, takes the rows above it in the order of their commits, and sends
//! them with the new cursor in one transaction, which Redis executes only if nobody has moved the cursor meanwhile. So
//! several game servers need no leader: whichever wins has applied every commit, and the others find nothing to send.
//! Members of other programs survive everything but a reset.

use diesel::Connection;
use diesel::sqlite::SqliteConnection;
use tokio::sync::watch;

use super::cursor::{BoardVersion, Plan, SyncState};
use super::store::{self, Commit, Row};
use crate::bus::{BusError, Guarded, Outcome, Reading, Transaction, WRONG_TYPE};
use crate::db::{Database, DbError};
use crate::events::LeaderboardUpdate;

/// How many rows one transaction carries at most.
pub(super) const MAX_ROWS: i64 = 10_000;
/// How often a transaction is tried while other servers move the cursor.
const MAX_CONFLICTS: usize = 8;

/// How far Redis is after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has every commit. The ranks of the players asked for, counted from 0.
    UpToDate(Vec<Option<u64>>),
    /// It has more than before; there is more to send.
    Advanced,
    /// It is away, silent, or refuses.
    Stalled,
}

/// Keeps Redis equal to the database.
pub(super) struct RedisMirror<G> {
    database: Database,
    set: G,
    state: SyncState,
    refusal: watch::Sender<Option<String>>,
    refilling: watch::Sender<bool>,
}

/// What to do next.
enum Step {
    Nothing,
    /// Wait for an operator.
    Blocked,
    Send(Chunk),
}

/// A transaction, and whether it is the last one that is needed.
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

    /// Why Redis refuses to take scores, from now on.
    pub(super) fn refusal(&self) -> watch::Receiver<Option<String>> {
        self.refusal.subscribe()
    }

    /// Whether the board in Redis is incomplete, since it takes several transactions to send it.
    pub(super) fn refilling(&self) -> watch::Receiver<bool> {
        self.refilling.subscribe()
    }

    /// Whether Redis has left something unanswered, and has not answered since.
    pub(super) fn is_silent(&self) -> bool {
        self.state == SyncState::Silent
    }

    /// Whether Redis has refused what was sent last.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, SyncState::Refused(_))
    }

    /// Sends a commit, and everything else that Redis has missed if it fits one transaction. Waits neither for a refill nor
    /// for a Redis that was silent.
    pub(super) async fn follow(&mut self, commit: &Commit, names: &[String]) -> Progress {
        match self.state {
            SyncState::Refilling(_) => Progress::Advanced,
            SyncState::Silent => Progress::Stalled,
            _ => self.advance(Some(commit), names).await,
        }
    }

    /// Looks what Redis has, and sends what it has missed, at most one transaction.
    pub(super) async fn catch_up(&mut self) -> Progress {
        if self.is_silent() && !self.set.is_answering().await {
            return Progress::Stalled;
        }
        // What was read before may be long out of date.
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
                    self.set_state(SyncState::Refused(format!("{WRONG_TYPE}: the key holds no sorted set")));
                    return Progress::Stalled;
                }
                Err(error) => {
                    tracing::error!(%error, "scores cannot be read for Redis");
                    return Progress::Stalled;
                }
            };
            if !chunk.last {
                // Before the announcement of this chunk makes anyone read the board.
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
                // A connection may end with a restart of Redis. One that ends again does so at this transaction.
                Err(BusError::Command(error)) if std::mem::replace(&mut lost, true) => {
                    self.set_refusal(Some(format!("the connection ends at a transaction: {error}")));
                    return Progress::Stalled;
                }
                // The cursor is where it was put back to, or another server has moved it, or there is none to watch.
                _ if self.state.is_open() => {}
                _ => return Progress::Stalled,
            }
        }
        Progress::Advanced
    }

    /// The cursor that is watched; `None` where it cannot be read.
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

    /// What to send next, from memory where Redis is exactly as far as the board was before the commit.
    async fn next_chunk(&self, reading: &Reading, commit: Option<&Commit>) -> Result<Step, DbError> {
        if let Some(commit) = commit
            && commit.version.plan(reading) == (Plan::Send { after: commit.seq_before, clear: false })
        {
            return Ok(Step::Send(chunk(&commit.version, false, commit.rows.clone())));
        }
        // Most of the time there is nothing to send.
        if self.database.read_point(store::version)?.plan(reading) == Plan::UpToDate {
            return Ok(Step::Nothing);
        }
        let reading = reading.clone();
        self.database.read(move |connection| connection.transaction(|connection| missing(connection, &reading))).await
    }

    fn set_state(&mut self, state: SyncState) {
        if let SyncState::Refused(reason) = &state {
            self.set_refusal(Some(reason.clone()));
            // It may last. What Redis has is shown meanwhile.
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
            Some(reason) => tracing::warn!(reason, "Redis refuses the leaderboard's scores, trying again"),
            None => tracing::info!("Redis takes the leaderboard's scores again"),
        }
        self.refusal.send_replace(refusal);
    }
}

/// What Redis misses, of one moment; at most [`MAX_ROWS`] rows of it.
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

/// The transaction that sends these rows, which are all above the cursor or the first of them.
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
