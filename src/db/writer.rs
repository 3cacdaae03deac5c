//! The writer thread: group commit over a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpointer;
use super::{DbError, Location, connection};

/// How many writes may wait; past it, [`Writer::try_write`] refuses.
const QUEUE: usize = 4096;
/// How many writes share one transaction at most, so that none waits long for its neighbours.
const BATCH: usize = 512;

/// The queue's sending side.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

enum Message {
    Write(Box<dyn Write>),
    Close,
}

/// Owns the writer thread.
pub struct WriterThread {
    queue: mpsc::Sender<Message>,
    thread: std::thread::JoinHandle<()>,
}

impl WriterThread {
    /// Makes everything durable that was queued before, refuses everything after, and ends the thread.
    pub async fn close(self) {
        // A send fails only where the thread is gone already.
        let _ = self.queue.send(Message::Close).await;
        drop(self.queue);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the database's writer thread ended in a panic");
        }
    }
}

impl Writer {
    pub(super) fn start(location: Location) -> Result<(Self, WriterThread), DbError> {
        let mut connection = connection::open_for_writing(&location)?;
        check_writable(&mut connection, &location)?;
        let checkpointer = Checkpointer::start(&location)?;
        let (queue, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || {
                run(&location, connection, receiver, &checkpointer);
                checkpointer.close();
            })
            .map_err(|error| DbError::Open { path: "the writer thread".to_owned(), reason: error.to_string() })?;
        Ok((Self { queue: queue.clone() }, WriterThread { queue, thread }))
    }

    pub(super) async fn write<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let (message, answer) = pending(change);
        self.queue.send(message).await.map_err(|_| DbError::Closed)?;
        answer.await.unwrap_or(Err(DbError::Closed))
    }

    pub(super) async fn try_write<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let (message, answer) = pending(change);
        self.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => DbError::Busy,
            TrySendError::Closed(_) => DbError::Closed,
        })?;
        answer.await.unwrap_or(Err(DbError::Closed))
    }
}

/// A queued write, without its types.
trait Write: Send {
    /// Runs the closure and keeps its result. An error means that the savepoint is to be rolled back.
    fn run(&mut self, connection: &mut SqliteConnection) -> QueryResult<()>;
    /// Answers the requester: with the kept result if the transaction is durable, else with the commit's error.
    fn answer(self: Box<Self>, committed: Result<(), DbError>);
}

struct Pending<T, F> {
    change: Option<F>,
    result: Option<Result<T, DbError>>,
    requester: oneshot::Sender<Result<T, DbError>>,
}

fn pending<T, F>(change: F) -> (Message, oneshot::Receiver<Result<T, DbError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
{
    let (requester, answer) = oneshot::channel();
    (Message::Write(Box::new(Pending { change: Some(change), result: None, requester })), answer)
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

    fn answer(self: Box<Self>, committed: Result<(), DbError>) {
        let answer = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(DbError::Closed),
            (Err(error), _) => Err(error),
        };
        // The requester may have gone away; the write stands all the same.
        let _ = self.requester.send(answer);
    }
}

/// Fails where the file can be read but not written, which SQLite says only when it is tried.
fn check_writable(connection: &mut SqliteConnection, location: &Location) -> Result<(), DbError> {
    match diesel::sql_query("UPDATE users SET id = id WHERE 0").execute(connection) {
        Err(DieselError::DatabaseError(_, info)) if info.message().contains("readonly") => {
            Err(DbError::Open { path: location.path().display().to_string(), reason: info.message().to_owned() })
        }
        // Another process may be writing for long; it will end.
        _ => Ok(()),
    }
}

fn run(
    location: &Location,
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Message>,
    checkpointer: &Checkpointer,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut closing = false;
    while let Some(first) = if closing { queue.try_recv().ok() } else { queue.blocking_recv() } {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(write) => batch.push(write),
                Message::Close => {
                    queue.close();
                    closing = true;
                }
            }
            next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        if commit(&mut connection, &mut batch).is_ok() {
            checkpointer.committed();
        } else if let Ok(fresh) = connection::open_for_writing(location) {
            // After an error that SQLite answered by rolling back on its own (a full disk), Diesel's count of open
            // savepoints is wrong, and the old connection would refuse every further transaction.
            connection = fresh;
        }
    }
}

/// Runs a batch in one transaction and answers everyone in it.
fn commit(connection: &mut SqliteConnection, batch: &mut Vec<Box<dyn Write>>) -> Result<(), DbError> {
    let committed = transact(connection, batch).map_err(|error| {
        tracing::error!(error = %error, writes = batch.len(), "a transaction could not be committed");
        DbError::Commit(Arc::new(error))
    });
    for write in batch.drain(..) {
        write.answer(committed.clone());
    }
    committed
}

fn transact(connection: &mut SqliteConnection, batch: &mut [Box<dyn Write>]) -> QueryResult<()> {
    connection.immediate_transaction(|connection| {
        for write in batch.iter_mut() {
            match connection.transaction(|connection| write.run(connection)) {
                Ok(()) | Err(DieselError::RollbackTransaction) => {}
                // The savepoint itself failed: the whole batch is undone.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}
