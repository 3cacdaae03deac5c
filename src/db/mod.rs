//! The database: SQLite through Diesel, with one writer thread per process and a few read connections.
//!
//! Owns the file, the connections, the migrations and the table `row_counts`, which triggers keep, but no other table:
//! each has one module that writes it, by closures that it passes to [`Database::write`]. Consumes and publishes
//! nothing. Never holds a read transaction across an await.
//!
//! Rows are read by a unique key with `get_result`, not with `first`: SQLite prepares a statement anew for each value of a
//! bound `LIMIT`.
//!
//! Writes are group-committed: writes that arrive while a transaction is being made durable share the next one, so the
//! number of durable writes is not limited by the disk's flushes per second. Processes take turns at writing (`turn`).
//!
//! - `writer`, `queued_write`, `group_commit`, `writer_status`: the writer thread and its group commit
//! - `turn`: fair write locking between processes
//! - `checkpoint`: the checkpoint thread
//! - `reader`, `connection`, `location`: read connections, pragmas, the path of the file
//! - `migration`, `schema`: the schema
//! - `cached_update`: updates whose prepared statement is kept
//! - `ids`, `timestamp`: how ids are stored and times are formatted
//! - `read_models`: queries that join the tables of several modules
//! - `row_counts`: the numbers of rows that are bounded
//! - `inspect`: schema version and integrity of a file, for the doctor

mod cached_update;
mod checkpoint;
mod connection;
mod group_commit;
mod ids;
mod inspect;
mod location;
mod migration;
mod queued_write;
pub(crate) mod read_models;
mod reader;
pub(crate) mod row_counts;
pub mod schema;
pub(crate) mod timestamp;
mod turn;
mod writer;
mod writer_status;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sqlite::SqliteConnection;
use tokio::task::JoinError;

pub(crate) use cached_update::cached_update;
pub(crate) use inspect::{DatabaseStatus, inspect, read_once};
pub use location::Location;
pub(crate) use migration::is_up_to_date;
pub use migration::{Migrated, migrate, revert_all};
use queued_write::Durability;
use reader::Readers;
use writer::Writer;
pub use writer::WriterThread;
pub use writer_status::WriterStatus;

/// Milliseconds since 1970-01-01 UTC, as every time in the database.
pub type UnixMillis = i64;

/// The wall clock.
pub fn now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMillis)
}

/// A failure of the database.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// The file could not be opened.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        /// The path of the file.
        path: String,
        /// The error of SQLite or of the system.
        reason: String,
    },
    /// The migration failed and was rolled back.
    #[error("cannot migrate the database: {0}")]
    Migration(String),
    /// A newer m3a3 has migrated the file since it was opened. This process never writes again.
    #[error("a newer m3a3 has migrated the database (migration {0})")]
    Newer(String),
    /// The write queue is full: writes arrive faster than the disk makes them durable.
    #[error("the database's write queue is full")]
    Busy,
    /// The writer has stopped because the process is shutting down.
    #[error("the database is closed")]
    Closed,
    /// A statement failed and was rolled back.
    #[error("a statement failed: {0}")]
    Statement(#[source] Arc<DieselError>),
    /// The commit failed and was rolled back.
    #[error("the commit failed: {0}")]
    Commit(#[source] Arc<DieselError>),
    /// The closure panicked and was rolled back.
    #[error("a write panicked")]
    Panicked,
}

impl DbError {
    /// Whether the database or its disk failed, so that the request itself may be fine.
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

/// Every error of SQLite except for constraints: a full disk, a failed read, a lock that another process holds too
/// long.
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

/// The database of a process. A clone shares its connections.
#[derive(Clone)]
pub struct Database {
    writer: Writer,
    readers: Arc<Readers>,
}

impl Database {
    /// Opens the file, migrates it and starts the writer thread. Blocks.
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
    /// Waits while the queue is full. The closure runs at most once. If it returns an error or panics, only its own
    /// changes are rolled back, not those of other writes in the same transaction. Once polled, the write happens even
    /// if the future is dropped.
    ///
    /// # Errors
    /// When the closure or the commit fails, or the database is closed.
    pub async fn write<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        self.writer.write(Durability::Synced, change).await
    }

    /// Like [`Database::write`], but returns once its changes are committed: a power failure may undo them, though not
    /// without the end of all processes on this database, and not after a later durable write. For changes that such a
    /// failure undoes anyway.
    ///
    /// # Errors
    /// As for [`Database::write`].
    pub(crate) async fn write_unsynced<T, F>(&self, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        self.writer.write(Durability::Unsynced, change).await
    }

    /// Like [`Database::write`], but fails instead of waiting when the queue is full: for requests that can be retried.
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

    /// Checks that no newer m3a3 has migrated the file since it was opened.
    ///
    /// # Errors
    /// [`DbError::Newer`], or when the file cannot be read.
    pub fn check_schema(&self) -> Result<(), DbError> {
        self.readers.read_point(migration::newer)?.map_or(Ok(()), |migration| Err(DbError::Newer(migration)))
    }

    /// Reads a few rows by key on the calling thread, because switching threads would cost more than the read.
    pub fn read_point<T>(&self, query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>) -> Result<T, DbError> {
        self.readers.read_point(query)
    }

    /// Reads on the blocking pool over the connections for short reads, which no long read occupies: for bounded reads
    /// with a low latency.
    pub async fn read_soon<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let readers = self.readers.clone();
        flatten(tokio::task::spawn_blocking(move || readers.read_point(query)).await)
    }

    /// Reads on the blocking pool, for everything longer than a read by key.
    pub async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let readers = self.readers.clone();
        flatten(tokio::task::spawn_blocking(move || readers.read_long(query)).await)
    }
}

fn flatten<T>(read: Result<Result<T, DbError>, JoinError>) -> Result<T, DbError> {
    match read {
        Ok(result) => result,
        Err(join) if join.is_panic() => Err(DbError::Panicked),
        Err(_) => Err(DbError::Closed),
    }
}
