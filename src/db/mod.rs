//! The database: SQLite through Diesel, one writer thread per process and a few read connections.
//!
//! Owns the file, the connections and the migrations, no table: each table has one module that writes it and hands its
//! statements to [`Database::write`] as a closure. Consumes and publishes nothing. Never holds a read across an await.
//!
//! Writes are group-committed: whatever waits while a transaction is being made durable goes into the next one together,
//! so that durable writes scale with the number of requesters instead of with the disk's flushes per second. Processes
//! take turns at writing (`turn`).

mod checkpoint;
mod connection;
mod inspect;
mod location;
mod migration;
pub mod read_models;
mod reader;
pub mod schema;
pub mod timestamp;
mod turn;
mod writer;
mod writer_status;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sqlite::SqliteConnection;
use tokio::task::JoinError;

pub use inspect::{DatabaseStatus, inspect, read_once};
pub use location::Location;
pub use migration::{Migrated, is_up_to_date, migrate, revert_all};
use reader::Readers;
use writer::Writer;
pub use writer::WriterThread;
pub use writer_status::WriterStatus;

/// Milliseconds since 1970-01-01 UTC; every time in the database is of this form.
pub type UnixMillis = i64;

/// The wall clock.
pub fn now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMillis)
}

/// What can go wrong with the database.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// The file could not be opened.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// The cause, in SQLite's words.
        reason: String,
    },
    /// The schema could not be brought up to date; nothing was changed.
    #[error("cannot migrate the database: {0}")]
    Migration(String),
    /// A newer m3a3 has changed the schema since the file was opened; nothing is written any more.
    #[error("a newer m3a3 has migrated the database (migration {0})")]
    Newer(String),
    /// The write queue is full: more writes are asked for than the disk makes durable.
    #[error("the database's write queue is full")]
    Busy,
    /// The writer has stopped, because the process is shutting down.
    #[error("the database is closed")]
    Closed,
    /// A statement failed; its changes were undone.
    #[error("a statement failed: {0}")]
    Statement(#[source] Arc<DieselError>),
    /// The changes could not be made durable and were undone.
    #[error("the commit failed: {0}")]
    Commit(#[source] Arc<DieselError>),
    /// The closure panicked; its changes were undone.
    #[error("a write panicked")]
    Panicked,
}

impl DbError {
    /// Whether the database or its disk failed, which says nothing about what was asked of it.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Migration(_) | Self::Newer(_) | Self::Busy | Self::Closed | Self::Commit(_) => {
                true
            }
            Self::Statement(error) => is_environment(error),
            Self::Panicked => false,
        }
    }
}

/// SQLite's own errors but for constraints: a full disk, a failed read, a lock that another process holds for too long.
fn is_environment(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, _) => !matches!(
            kind,
            DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
        ),
        DieselError::NotFound
        | DieselError::InvalidCString(_)
        | DieselError::QueryBuilderError(_)
        | DieselError::SerializationError(_)
        | DieselError::DeserializationError(_) => false,
        _ => true,
    }
}

impl From<DieselError> for DbError {
    fn from(error: DieselError) -> Self {
        Self::Statement(Arc::new(error))
    }
}

/// The database of a process; a clone speaks to the same connections.
#[derive(Clone)]
pub struct Database {
    writer: Writer,
    readers: Arc<Readers>,
}

impl Database {
    /// Opens the file, brings its schema up to date and starts the writer thread. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When the file cannot be opened or created, or a migration fails.
    pub fn open(location: &Location) -> Result<(Self, WriterThread), DbError> {
        migrate(location)?;
        let (writer, thread) = Writer::start(location.clone())?;
        let readers = Arc::new(Readers::new(location.clone()));
        Ok((Self { writer, readers }, thread))
    }

    /// Runs a closure on the writer thread in a savepoint of its own, and returns once its changes are durable.
    ///
    /// Waits while the queue is full. The closure runs at most once; when it returns an error or panics, its changes are
    /// undone and its neighbours' are not. Cancel safe in this sense: after the first poll the write happens whether or
    /// not the result is awaited.
    ///
    /// # Errors
    /// When the closure or the commit fails, or the database is closed.
    pub async fn write<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        self.writer.write(change).await
    }

    /// Like [`Database::write`], but refuses instead of waiting when the queue is full: for callers who can be told to
    /// come again.
    ///
    /// # Errors
    /// As for [`Database::write`], and [`DbError::Busy`].
    pub async fn try_write<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        self.writer.try_write(change).await
    }

    /// The state of the writer thread.
    pub fn writer_status(&self) -> WriterStatus {
        self.writer.status()
    }

    /// Checks that no newer m3a3 has migrated the file since it was opened: this process knows nothing of its tables then.
    ///
    /// # Errors
    /// [`DbError::Newer`], or when it cannot be read.
    pub fn check_schema(&self) -> Result<(), DbError> {
        self.readers.read_point(migration::newer)?.map_or(Ok(()), |migration| Err(DbError::Newer(migration)))
    }

    /// Reads a few rows by key, at once on the calling thread: a hop to another thread would cost more than the read.
    ///
    /// # Errors
    /// When the connection cannot be opened or the query fails.
    pub fn read_point<T>(&self, query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>) -> Result<T, DbError> {
        self.readers.read_point(query)
    }

    /// Reads on the blocking pool, over the connections of short reads, so that no long one stands in the way: for what is
    /// bounded and has to come soon.
    ///
    /// # Errors
    /// When the connection cannot be opened or the query fails.
    pub async fn read_soon<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let readers = self.readers.clone();
        finished(tokio::task::spawn_blocking(move || readers.read_point(query)).await)
    }

    /// Reads on the blocking pool, for everything that is longer than a read by key.
    ///
    /// # Errors
    /// When the connection cannot be opened or the query fails.
    pub async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let readers = self.readers.clone();
        finished(tokio::task::spawn_blocking(move || readers.read_long(query)).await)
    }
}

fn finished<T>(read: Result<Result<T, DbError>, JoinError>) -> Result<T, DbError> {
    match read {
        Ok(result) => result,
        Err(join) if join.is_panic() => Err(DbError::Panicked),
        Err(_) => Err(DbError::Closed),
    }
}
