//! Writes in the queue of the writer thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use super::DbError;

/// A message to the writer thread.
pub(super) enum Message {
    Write(Queued),
    Close,
}

/// A write in the queue.
pub(super) struct Queued {
    pub(super) write: Box<dyn Write>,
    pub(super) durability: Durability,
    pub(super) requested_at: Instant,
}

/// What a committed write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// A power failure.
    Synced,
    /// The end of the process.
    Unsynced,
}

/// A write, without its types.
pub(super) trait Write: Send {
    /// Runs the closure and stores its result. On an error, its changes must be rolled back.
    fn run(&mut self, connection: &mut SqliteConnection) -> QueryResult<()>;
    /// Sends the stored result to the requester if the commit succeeded, else the error of the commit.
    fn respond(self: Box<Self>, committed: Result<(), DbError>);
}

struct Pending<T, F> {
    change: Option<F>,
    result: Option<Result<T, DbError>>,
    requester: oneshot::Sender<Result<T, DbError>>,
}

/// A message with this write, and the receiver of its result.
pub(super) fn queued<T, F>(durability: Durability, change: F) -> (Message, oneshot::Receiver<Result<T, DbError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
{
    let (requester, answer) = oneshot::channel();
    let write = Box::new(Pending { change: Some(change), result: None, requester });
    (Message::Write(Queued { write, durability, requested_at: Instant::now() }), answer)
}

impl<T, F> Write for Pending<T, F>
where
    T: Send,
    F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send,
{
    fn run(&mut self, connection: &mut SqliteConnection) -> QueryResult<()> {
        let Some(change) = self.change.take() else { return Err(DieselError::RollbackTransaction) };
        match catch_unwind(AssertUnwindSafe(|| change(connection))) {
            Ok(Ok(value)) => {
                self.result = Some(Ok(value));
                Ok(())
            }
            Ok(Err(error)) => {
                self.result = Some(Err(error.into()));
                Err(DieselError::RollbackTransaction)
            }
            Err(_panic) => {
                self.result = Some(Err(DbError::Panicked));
                Err(DieselError::RollbackTransaction)
            }
        }
    }

    fn respond(self: Box<Self>, committed: Result<(), DbError>) {
        let answer = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(DbError::Closed),
            (Err(error), _) => Err(error),
        };
        // The requester may have been cancelled; the write is durable all the same.
        let _ = self.requester.send(answer);
    }
}
