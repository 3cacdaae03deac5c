//! The checkpoint thread, so that no write waits while the WAL is copied into the database.
//!
//! SQLite's automatic checkpoint runs inside the commit that crosses its threshold, and flushes the whole database file
//! while every other write waits. Here the writer only reports that it has committed.
//!
//! A reader hardly delays a write: a `PASSIVE` checkpoint stops at the pages that a reader still needs. `RESTART` waits
//! for readers while it holds the write lock, so it is rare, short, and only tried once the whole WAL is in the
//! database. A read that never finishes costs disk space, which is logged.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel::sqlite::SqliteConnection;

use super::turn::Turns;
use super::{DbError, Location, connection};

/// A WAL with this many pages that are not yet in the database is checkpointed.
const CHECKPOINT_PAGES: i32 = 1000;
/// A WAL of this many pages is restarted, which takes the write lock for the few pages that were written last.
const RESTART_PAGES: i32 = 16_000;
/// A WAL of this many pages is logged: a long read keeps it from being restarted.
const WARNING_PAGES: i32 = 2 * RESTART_PAGES;
/// The shortest time between two checkpoints.
const INTERVAL: Duration = Duration::from_millis(50);
/// The shortest time between two attempts to restart the WAL.
const RESTART_INTERVAL: Duration = Duration::from_secs(5);

/// Owns the checkpoint thread.
pub(super) struct Checkpointer {
    commits: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    pub(super) fn start(location: &Location) -> Result<Self, DbError> {
        let mut checkpoints = Checkpoints::open(location)?;
        let (commits, committed) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("db-checkpoint".to_owned())
            .spawn(move || checkpoints.run(&committed))
            .map_err(|error| DbError::Open { path: "the checkpoint thread".to_owned(), reason: error.to_string() })?;
        Ok(Self { commits, thread })
    }

    /// Reports a commit. Never blocks. Returns whether the thread is alive.
    pub(super) fn committed(&self) -> bool {
        // If the channel is full, the thread is about to check the WAL anyway.
        !matches!(self.commits.try_send(()), Err(TrySendError::Disconnected(())))
    }

    /// Ends the thread.
    pub(super) fn close(self) {
        drop(self.commits);
        if self.thread.join().is_err() {
            tracing::error!("the database's checkpoint thread ended in a panic");
        }
    }
}

/// The state of the checkpoint thread.
struct Checkpoints {
    location: Location,
    connection: SqliteConnection,
    turns: Turns,
    last_restart: Option<Instant>,
    /// Whether this growth of the WAL has been logged.
    warned: bool,
}

/// A row of `PRAGMA wal_checkpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
struct Wal {
    /// The pages in the WAL; -1 while another process checkpoints.
    #[diesel(sql_type = Integer)]
    log: i32,
    /// Those of them that are in the database too.
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

impl Checkpoints {
    fn open(location: &Location) -> Result<Self, DbError> {
        let connection = connection::open_for_checkpoints(location)?;
        let turns = Turns::open(location);
        Ok(Self { location: location.clone(), connection, turns, last_restart: None, warned: false })
    }

    fn run(&mut self, committed: &Receiver<()>) {
        while let Ok(()) = committed.recv() {
            if let Err(error) = self.checkpoint_if_needed() {
                tracing::warn!(error = %error, "the checkpoint failed");
            }
            if let Err(RecvTimeoutError::Disconnected) = committed.recv_timeout(INTERVAL) {
                return;
            }
        }
    }

    fn checkpoint_if_needed(&mut self) -> QueryResult<()> {
        let wal = checkpoint(&mut self.connection, "NOOP")?;
        if wal.log - wal.checkpointed < CHECKPOINT_PAGES && wal.log < RESTART_PAGES {
            self.warned = false;
            return Ok(());
        }
        let wal = checkpoint(&mut self.connection, "PASSIVE")?;
        if restart_is_due(wal, self.last_restart.map(|last| last.elapsed())) {
            self.restart()?;
        }
        if wal.log >= WARNING_PAGES && !self.warned {
            self.warned = true;
            let wal_bytes = self.location.beside("-wal").metadata().map_or(0, |wal| wal.len());
            tracing::warn!(
                wal_mib = wal_bytes >> 20,
                "the WAL keeps growing; check whether another program keeps a read open"
            );
        }
        Ok(())
    }

    /// Makes the next write begin at the start of the WAL.
    fn restart(&mut self) -> QueryResult<()> {
        self.last_restart = Some(Instant::now());
        let _turn = self.turns.take();
        checkpoint(&mut self.connection, "RESTART").map(drop)
    }
}

/// Whether to restart the WAL; `since_last` is the time since the last attempt.
fn restart_is_due(passive: Wal, since_last: Option<Duration>) -> bool {
    let is_complete = passive.checkpointed == passive.log;
    passive.log >= RESTART_PAGES && is_complete && since_last.is_none_or(|since| since >= RESTART_INTERVAL)
}

fn checkpoint(connection: &mut SqliteConnection, mode: &str) -> QueryResult<Wal> {
    diesel::sql_query(format!("PRAGMA wal_checkpoint({mode})")).get_result(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wal_is_restarted_only_if_that_waits_for_no_reader() {
        let wal = |log, checkpointed| Wal { log, checkpointed };
        assert!(restart_is_due(wal(RESTART_PAGES, RESTART_PAGES), None));
        assert!(restart_is_due(wal(RESTART_PAGES, RESTART_PAGES), Some(RESTART_INTERVAL)));
        assert!(!restart_is_due(wal(RESTART_PAGES, RESTART_PAGES), Some(RESTART_INTERVAL / 2)));
        assert!(!restart_is_due(wal(40_000, 39_999), None), "a reader needs the rest");
        assert!(!restart_is_due(wal(1000, 1000), None), "it is small");
        assert!(!restart_is_due(wal(-1, -1), None), "another process checkpoints");
    }
}
