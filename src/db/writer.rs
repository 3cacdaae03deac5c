//! The writer thread: group commit over a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::Integer;
use diesel::sqlite::SqliteConnection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpointer;
use super::migration::{self, NewerMigration};
use super::turn::Turns;
use super::writer_status::{Published, WriterStatus};
use super::{DbError, Location, connection};

/// The capacity of the queue. When it is full, [`Writer::try_write`] fails.
const QUEUE: usize = 4096;
/// The most writes in one transaction, so that none waits long for the others.
const BATCH: usize = 512;

/// The sending side of the queue.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    published: Published,
    ended: CancellationToken,
}

enum Message {
    Write(Queued),
    Close,
}

struct Queued {
    write: Box<dyn Write>,
    requested_at: Instant,
}

/// Owns the writer thread.
pub struct WriterThread {
    queue: mpsc::Sender<Message>,
    thread: std::thread::JoinHandle<()>,
    ended: CancellationToken,
}

impl WriterThread {
    /// Commits every queued write, refuses new ones, and ends the thread. Returns `false` if the thread had already
    /// ended, as after a panic.
    pub async fn close(self) -> bool {
        // A send fails only if the thread has already ended.
        let was_running = self.queue.send(Message::Close).await.is_ok();
        drop(self.queue);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        let is_fine = was_running && matches!(joined, Ok(Ok(())));
        if !is_fine {
            tracing::error!("the writer thread of the database ended before it was closed");
        }
        is_fine
    }

    /// Waits until the thread has ended, for any reason. Nothing can be written after that.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.ended.clone().cancelled_owned()
    }
}

impl Writer {
    pub(super) fn start(location: Location) -> Result<(Self, WriterThread), DbError> {
        let mut connection = connection::open_for_writing(&location)?;
        let mut turns = Turns::open(&location);
        check_writable(&mut connection, &mut turns, &location)?;
        let checkpointer = Checkpointer::start(&location)?;
        let (queue, receiver) = mpsc::channel(QUEUE);
        let (published, ended) = (Published::default(), CancellationToken::new());
        let group_commit = GroupCommit { location, connection, turns, published: published.clone(), failure: None };
        let end = ended.clone().drop_guard();
        let thread = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || {
                let _end = end;
                group_commit.run(receiver, &checkpointer);
                checkpointer.close();
            })
            .map_err(|error| DbError::Open { path: "the writer thread".to_owned(), reason: error.to_string() })?;
        let writer = Self { queue: queue.clone(), published, ended: ended.clone() };
        Ok((writer, WriterThread { queue, thread, ended }))
    }

    pub(super) fn status(&self) -> WriterStatus {
        self.published.status(self.ended.is_cancelled())
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

fn pending<T, F>(change: F) -> (Message, oneshot::Receiver<Result<T, DbError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
{
    let (requester, answer) = oneshot::channel();
    let write = Box::new(Pending { change: Some(change), result: None, requester });
    (Message::Write(Queued { write, requested_at: Instant::now() }), answer)
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

/// Fails for a read-only file, which SQLite reports only on a write.
fn check_writable(connection: &mut SqliteConnection, turns: &mut Turns, location: &Location) -> Result<(), DbError> {
    let _turn = turns.take();
    match diesel::sql_query("UPDATE users SET id = id WHERE 0").execute(connection) {
        Err(DieselError::DatabaseError(_, info)) if info.message().contains("readonly") => {
            Err(DbError::Open { path: location.path().display().to_string(), reason: info.message().to_owned() })
        }
        // Such as a lock that another process holds too long, which will be released.
        _ => Ok(()),
    }
}

/// The state of the writer thread.
struct GroupCommit {
    location: Location,
    connection: SqliteConnection,
    turns: Turns,
    published: Published,
    /// The last commit error, until a write succeeds.
    failure: Option<String>,
}

impl GroupCommit {
    /// Commits queued writes until the queue is closed, or until the checkpoint thread has ended, without which the WAL
    /// would grow for ever.
    fn run(mut self, mut queue: mpsc::Receiver<Message>, checkpointer: &Checkpointer) {
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
