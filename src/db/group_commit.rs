//! Group commit: all queued writes are one transaction, with a savepoint for each.

use std::sync::Arc;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::Integer;
use diesel::sqlite::SqliteConnection;
use tokio::sync::mpsc;

use super::checkpoint::Checkpointer;
use super::migration::{self, NewerMigration};
use super::queued_write::{Durability, Message, Queued, Write};
use super::turn::Turns;
use super::writer_status::Published;
use super::{DbError, Location, connection};

/// The most writes in one transaction, so that none waits long for the others.
const BATCH: usize = 512;

/// The state of the writer thread.
pub(super) struct GroupCommit {
    location: Location,
    connection: SqliteConnection,
    turns: Turns,
    published: Published,
    /// Whether the connection flushes its commits.
    durability: Durability,
    /// The last commit error, until a write succeeds.
    failure: Option<String>,
}

impl GroupCommit {
    pub(super) fn new(location: Location, connection: SqliteConnection, turns: Turns, published: Published) -> Self {
        Self { location, connection, turns, published, durability: Durability::Synced, failure: None }
    }

    /// Commits queued writes until the queue is closed, or until the checkpoint thread has ended, without which the WAL
    /// would grow for ever.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Message>, checkpointer: &Checkpointer) {
        let mut closing = false;
        while let Some(first) = if closing { queue.try_recv().ok() } else { queue.blocking_recv() } {
            match first {
                Message::Write(first) => closing |= self.commit(first, &mut queue),
                Message::Close => {
                    queue.close();
                    closing = true;
                }
            }
            if self.failure.is_none() && !checkpointer.committed() {
                return;
            }
        }
    }

    /// Commits one batch: this write, and those that are queued by the time of this process's turn. Responds to all of
    /// them, and returns whether the queue was closed.
    fn commit(&mut self, first: Queued, queue: &mut mpsc::Receiver<Message>) -> bool {
        self.published.begin(first.requested_at);
        let turn = self.turns.take();
        let Batch { mut writes, durability, closing } = fill(first, queue);
        // Only a flush shows that the disk works again.
        let durability = if self.failure.is_some() { Durability::Synced } else { durability };
        let committed = match set(&mut self.connection, &mut self.durability, durability) {
            Ok(()) => transact(&mut self.connection, &mut writes),
            Err(error) => Err(error),
        };
        let failure = match &committed {
            Err(error) => Some(error.to_string()),
            // A commit without changes succeeds even on a full disk.
            Ok(()) if self.failure.is_some() => write_a_page(&mut self.connection).err().map(|error| error.to_string()),
            Ok(()) => None,
        };
        drop(turn);
        if let Err(error) = &committed {
            // A persistent error is logged once; the status keeps it.
            if self.failure != failure {
                tracing::error!(error = %error, writes = writes.len(), "a transaction failed to commit");
            }
            self.reconnect();
        }
        self.failure.clone_from(&failure);
        self.published.end(durability, failure);
        let committed = committed.map_err(commit_error);
        for write in writes {
            write.respond(committed.clone());
        }
        closing
    }

    /// After an error on which SQLite rolled back by itself (a full disk), Diesel's count of open savepoints is wrong,
    /// and the old connection would fail every further transaction.
    fn reconnect(&mut self) {
        if let Ok(fresh) = connection::open_for_writing(&self.location) {
            self.connection = fresh;
            self.durability = Durability::Synced;
        }
    }
}

/// Writes of one transaction.
struct Batch {
    writes: Vec<Box<dyn Write>>,
    /// Synced if any of the writes is.
    durability: Durability,
    /// Whether the queue was closed.
    closing: bool,
}

/// A batch that starts with this write.
fn fill(first: Queued, queue: &mut mpsc::Receiver<Message>) -> Batch {
    let mut writes = Vec::with_capacity(queue.len().min(BATCH) + 1);
    let (mut durability, mut closing) = (first.durability, false);
    writes.push(first.write);
    while writes.len() < BATCH {
        match queue.try_recv() {
            Ok(Message::Write(next)) => {
                if next.durability == Durability::Synced {
                    durability = Durability::Synced;
                }
                writes.push(next.write);
            }
            Ok(Message::Close) => {
                queue.close();
                closing = true;
            }
            Err(_) => break,
        }
    }
    Batch { writes, durability, closing }
}

/// Sets whether the connection flushes its next commits. In WAL mode, a commit with `NORMAL` leaves the flush to a later
/// commit or to the checkpoint, and the file stays consistent (SQLite, "PRAGMA synchronous").
fn set(connection: &mut SqliteConnection, current: &mut Durability, wanted: Durability) -> QueryResult<()> {
    if *current != wanted {
        // If the statement fails, the level is unknown.
        *current = Durability::Unsynced;
        connection.batch_execute(match wanted {
            Durability::Synced => "PRAGMA synchronous = FULL",
            Durability::Unsynced => "PRAGMA synchronous = NORMAL",
        })?;
        *current = wanted;
    }
    Ok(())
}

fn commit_error(error: DieselError) -> DbError {
    match error {
        DieselError::QueryBuilderError(reason) => match reason.downcast::<NewerMigration>() {
            Ok(newer) => DbError::Newer(newer.0),
            Err(reason) => DbError::Commit(Arc::new(DieselError::QueryBuilderError(reason))),
        },
        error => DbError::Commit(Arc::new(error)),
    }
}

/// Runs a batch in one transaction; an error means that none of it is stored.
fn transact(connection: &mut SqliteConnection, batch: &mut [Box<dyn Write>]) -> QueryResult<()> {
    let committed = connection.immediate_transaction(|connection| {
        migration::refuse_newer(connection)?;
        if let [write] = batch {
            // Alone, it needs no savepoint, for which SQLite would copy every page that it changes.
            return write.run(connection);
        }
        for write in batch.iter_mut() {
            match connection.transaction(|connection| write.run(connection)) {
                Ok(()) | Err(DieselError::RollbackTransaction) => {}
                // The savepoint itself failed: the whole batch is rolled back.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    match committed {
        // The only write of the batch has failed, and keeps its own error.
        Err(DieselError::RollbackTransaction) if !is_broken(connection) => Ok(()),
        committed => committed,
    }
}

/// Whether Diesel no longer knows if a transaction is open.
fn is_broken(connection: &mut SqliteConnection) -> bool {
    <SqliteConnection as Connection>::TransactionManager::is_broken_transaction_manager(connection)
}

/// Rewrites the first page of the database, unchanged.
fn write_a_page(connection: &mut SqliteConnection) -> QueryResult<()> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        user_version: i32,
    }
    let Row { user_version } = diesel::sql_query("PRAGMA user_version").get_result(connection)?;
    connection.batch_execute(&format!("PRAGMA user_version = {user_version}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Database;

    /// The level of the connection: 1 is `NORMAL`, 2 is `FULL`.
    fn level(connection: &mut SqliteConnection) -> QueryResult<i32> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Integer)]
            synchronous: i32,
        }
        let Row { synchronous } = diesel::sql_query("PRAGMA synchronous").get_result(connection)?;
        Ok(synchronous)
    }

    #[tokio::test]
    async fn a_transaction_is_flushed_if_any_of_its_writes_must_be_durable() {
        let folder = tempfile::tempdir().unwrap();
        let (database, writer) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        assert_eq!(database.write(level).await.unwrap(), 2);
        assert_eq!(database.write_unsynced(level).await.unwrap(), 1);
        assert_eq!(database.write(level).await.unwrap(), 2);
        let status = database.writer_status();
        assert_eq!((status.synced_commits, status.unsynced_commits), (2, 1));
        let queued = |durability| match crate::db::queued_write::queued(durability, |_| Ok(())).0 {
            Message::Write(write) => write,
            Message::Close => unreachable!("it is a write"),
        };
        let (sender, mut queue) = mpsc::channel(2);
        for durability in [Durability::Synced, Durability::Unsynced] {
            sender.try_send(Message::Write(queued(durability))).unwrap_or_else(|_| panic!("the queue has room"));
        }
        let batch = fill(queued(Durability::Unsynced), &mut queue);
        assert_eq!((batch.writes.len(), batch.durability), (3, Durability::Synced));
        assert!(writer.close().await);
    }
}
