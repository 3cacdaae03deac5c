//! The writer thread and its bounded queue.

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpointer;
use super::group_commit::GroupCommit;
use super::queued_write::{Durability, Message, queued};
use super::turn::Turns;
use super::writer_status::{Published, WriterStatus};
use super::{DbError, Location, connection};

/// The capacity of the queue. When it is full, [`Writer::try_write`] fails.
const QUEUE: usize = 4096;

/// The sending side of the queue.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    published: Published,
    ended: CancellationToken,
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
        let group_commit = GroupCommit::new(location, connection, turns, published.clone());
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

    pub(super) async fn write<T, F>(&self, durability: Durability, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let (message, answer) = queued(durability, change);
        self.queue.send(message).await.map_err(|_| DbError::Closed)?;
        answer.await.unwrap_or(Err(DbError::Closed))
    }

    pub(super) async fn try_write<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let (message, answer) = queued(Durability::Synced, change);
        self.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => DbError::Busy,
            TrySendError::Closed(_) => DbError::Closed,
        })?;
        answer.await.unwrap_or(Err(DbError::Closed))
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
