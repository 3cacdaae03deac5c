//! How a database file is, found out without changing it. Everything here blocks.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use super::migration::{Schema, schema_of};
use super::{DbError, Location, connection};

/// How a database file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no such file.
    Missing,
    /// Its schema is an older m3a3's, or none.
    Outdated,
    /// Its schema is a newer m3a3's.
    Newer,
    /// Its schema is this m3a3's.
    Current {
        /// The file's size.
        bytes: u64,
        /// The size of its write-ahead log.
        wal_bytes: u64,
        /// The first few things that SQLite finds to be damaged; empty when it is whole.
        faults: Vec<String>,
    },
}

/// Finds out how a database file is; reads all of it.
///
/// # Errors
/// When it cannot be opened or read.
pub fn condition(location: &Location) -> Result<Condition, DbError> {
    let Ok(metadata) = location.path().metadata() else { return Ok(Condition::Missing) };
    let mut wal = location.path().as_os_str().to_owned();
    wal.push("-wal");
    // Before the file is opened, which may tidy its log up.
    let wal_bytes = std::fs::metadata(wal).map_or(0, |metadata| metadata.len());
    match read_once(location, |connection| Ok((schema_of(connection), faults(connection)?)))? {
        (Schema::Outdated, _) => Ok(Condition::Outdated),
        (Schema::Newer, _) => Ok(Condition::Newer),
        (Schema::Current, faults) => Ok(Condition::Current { bytes: metadata.len(), wal_bytes, faults }),
    }
}

/// Reads from a file that is there, over a connection of its own.
///
/// # Errors
/// When it cannot be opened or read.
pub fn read_once<T>(
    location: &Location,
    query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> Result<T, DbError> {
    Ok(query(&mut connection::open_for_reading(location)?)?)
}

/// `PRAGMA integrity_check` (SQLite), which says one row of "ok" or one for each fault.
fn faults(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    let rows = diesel::sql_query("PRAGMA integrity_check(5)").load::<Row>(connection)?;
    Ok(rows.into_iter().map(|row| row.integrity_check).filter(|row| row != "ok").collect())
}
