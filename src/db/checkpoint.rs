//! Checkpoints on a thread of their own, so that no write waits while the WAL is copied into the database.
//!
//! SQLite's automatic checkpoint runs inside the commit that crosses its threshold, and flushes the whole database file
//! while every other write waits. Here the writer only says that something was committed.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel::sqlite::SqliteConnection;

use super::{DbError, Location, connection};

/// A WAL with this many pages that are not in the database yet is checkpointed.
const CHECKPOINT_PAGES: i32 = 1000;
/// A WAL of this many pages is started over, which takes the write lock for the few pages that came last.
const RESTART_PAGES: i32 = 16_000;
/// The shortest time between two looks at the WAL.
const INTERVAL: Duration = Duration::from_millis(50);

/// Owns the checkpoint thread.
pub(super) struct Checkpointer {
    commits: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    pub(super) fn start(location: &Location) -> Result<Self, DbError> {
        let connection = connection::open_for_writing(location)?;
        let (commits, committed) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("db-checkpoint".to_owned())
            .spawn(move || run(connection, &committed))
            .map_err(|error| DbError::Open { path: "the checkpoint thread".to_owned(), reason: error.to_string() })?;
        Ok(Self { commits, thread })
    }

    /// Says that something was committed. Never blocks.
    pub(super) fn committed(&self) {
        // A full channel means that the thread will look anyway; a closed one that it has failed, and has said so.
        if let Err(TrySendError::Disconnected(())) = self.commits.try_send(()) {
            tracing::debug!("nobody checkpoints the database");
        }
    }

    /// Ends the thread.
    pub(super) fn close(self) {
        drop(self.commits);
        if self.thread.join().is_err() {
            tracing::error!("the database's checkpoint thread ended in a panic");
        }
    }
}

fn run(mut connection: SqliteConnection, committed: &Receiver<()>) {
    while let Ok(()) = committed.recv() {
        if let Err(error) = look(&mut connection) {
            tracing::warn!(error = %error, "the database could not be checkpointed");
        }
        if let Err(RecvTimeoutError::Disconnected) = committed.recv_timeout(INTERVAL) {
            return;
        }
    }
}

#[derive(QueryableByName)]
struct Wal {
    /// Pages in the WAL.
    #[diesel(sql_type = Integer)]
    log: i32,
    /// How many of them are in the database too.
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

fn look(connection: &mut SqliteConnection) -> QueryResult<()> {
    let wal = checkpoint(connection, "NOOP")?;
    if wal.log - wal.checkpointed < CHECKPOINT_PAGES && wal.log < RESTART_PAGES {
        return Ok(());
    }
    let wal = checkpoint(connection, "PASSIVE")?;
    if wal.log >= RESTART_PAGES {
        checkpoint(connection, "RESTART")?;
    }
    Ok(())
}

fn checkpoint(connection: &mut SqliteConnection, mode: &str) -> QueryResult<Wal> {
    diesel::sql_query(format!("PRAGMA wal_checkpoint({mode})")).get_result(connection)
}
