//! Opens connections with the pragmas that each purpose needs.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sqlite::SqliteConnection;

use super::{DbError, Location};

/// How long a statement waits for the transaction of another process.
const BUSY_TIMEOUT_MS: u32 = 10_000;
/// How long a checkpoint waits for locks.
const CHECKPOINT_TIMEOUT_MS: u32 = 50;
/// The time between two attempts to switch to WAL.
const SWITCH_INTERVAL: Duration = Duration::from_millis(10);
/// A WAL that grew past this is truncated by the next checkpoint that empties it.
const WAL_LIMIT_BYTES: u32 = 64 << 20;

/// A connection for the writer thread. With `synchronous=FULL`, a commit that returned survives a power failure.
pub(super) fn open_for_writing(location: &Location) -> Result<SqliteConnection, DbError> {
    open(
        location,
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA cache_size = -8000;",
    )
}

/// A connection for the checkpoint thread, which replaces the automatic checkpoint. Its timeout is short, because a
/// checkpoint that waits for readers holds the write lock.
pub(super) fn open_for_checkpoints(location: &Location) -> Result<SqliteConnection, DbError> {
    open(
        location,
        &format!("PRAGMA synchronous = FULL; PRAGMA cache_size = -1000; PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT_MS}"),
    )
}

/// A connection that cannot write.
pub(super) fn open_for_reading(location: &Location) -> Result<SqliteConnection, DbError> {
    open(location, "PRAGMA query_only = ON; PRAGMA cache_size = -1000;")
}

/// A connection for migrations. Foreign keys are off, as SQLite's procedure for recreating a table requires.
pub(super) fn open_for_migrating(location: &Location) -> Result<SqliteConnection, DbError> {
    open(location, "PRAGMA foreign_keys = OFF; PRAGMA synchronous = FULL;")
}

fn open(location: &Location, pragmas: &str) -> Result<SqliteConnection, DbError> {
    let failed = |reason: String| DbError::Open { path: location.path().display().to_string(), reason };
    std::fs::create_dir_all(location.folder()).map_err(|error| failed(error.to_string()))?;
    create_private(location).map_err(|error| failed(error.to_string()))?;
    let url = location.path().to_str().ok_or_else(|| failed("the path is not valid UTF-8".to_owned()))?;
    let mut connection = SqliteConnection::establish(url).map_err(|error| failed(error.to_string()))?;
    // The busy timeout is set first, because switching a new file to WAL already needs a lock.
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"))
        .and_then(|()| switch_to_wal(&mut connection))
        .and_then(|()| connection.batch_execute(&format!("PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}; {pragmas}")))
        .map_err(|error| failed(error.to_string()))?;
    Ok(connection)
}

/// Creates a new file that only its owner can read. SQLite gives the WAL and its index the same mode.
fn create_private(location: &Location) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(location.path()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Switches a file to WAL mode.
///
/// If two connections switch a new file at once, SQLite fails one of them without waiting for the busy timeout, because
/// they could wait for each other for ever.
fn switch_to_wal(connection: &mut SqliteConnection) -> QueryResult<()> {
    let deadline = Instant::now() + Duration::from_millis(BUSY_TIMEOUT_MS.into());
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(Error::DatabaseError(_, info)) if info.message().contains("locked") && Instant::now() < deadline => {
                std::thread::sleep(SWITCH_INTERVAL);
            }
            switched => return switched,
        }
    }
}
