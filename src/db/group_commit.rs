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
use super::queued_write::{Message, Queued, Write};
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
    /// The last commit error, until a write succeeds.
    failure: Option<String>,
}

impl GroupCommit {
    pub(super) fn new(location: Location, connection: SqliteConnection, turns: Turns, published: Published) -> Self {
        Self { location, connection, turns, published, failure: None }
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
        let (mut batch, closing) = fill(first, queue);
        let committed = transact(&mut self.connection, &mut batch);
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
                tracing::error!(error = %error, writes = batch.len(), "a transaction failed to commit");
            }
            self.reconnect();
        }
        self.failure.clone_from(&failure);
        self.published.end(failure);
        let committed = committed.map_err(commit_error);
        for write in batch {
            write.respond(committed.clone());
        }
        closing
    }

    /// After an error on which SQLite rolled back by itself (a full disk), Diesel's count of open savepoints is wrong,
    /// and the old connection would fail every further transaction.
    fn reconnect(&mut self) {
        if let Ok(fresh) = connection::open_for_writing(&self.location) {
            self.connection = fresh;
        }
    }
}

/// A batch that starts with this write, and whether the queue was closed.
fn fill(first: Queued, queue: &mut mpsc::Receiver<Message>) -> (Vec<Box<dyn Write>>, bool) {
    let mut batch = Vec::with_capacity(queue.len().min(BATCH) + 1);
    batch.push(first.write);
    let mut closing = false;
    while batch.len() < BATCH {
        match queue.try_recv() {
            Ok(Message::Write(next)) => batch.push(next.write),
            Ok(Message::Close) => {
                queue.close();
                closing = true;
            }
            Err(_) => break,
        }
    }
    (batch, closing)
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
