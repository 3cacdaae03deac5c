//! Inspects a database file without changing it. Every function blocks.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use super::migration::{Schema, schema_of};
use super::{DbError, Location, connection};

/// The status of a database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseStatus {
    /// There is no such file.
    Missing,
    /// The schema is that of an older m3a3, or there is none.
    Outdated,
    /// The schema is that of a newer m3a3.
    Newer,
    /// The schema is that of this m3a3.
    Current {
        bytes: u64,
        wal_bytes: u64,
        /// The first faults that SQLite finds; empty if the file is intact.
        faults: Vec<String>,
    },
}

/// Reads the whole file and checks its schema and integrity.
pub(crate) fn inspect(location: &Location) -> Result<DatabaseStatus, DbError> {
    let Ok(metadata) = location.path().metadata() else { return Ok(DatabaseStatus::Missing) };
    // Before the file is opened, which may truncate the WAL.
    let wal_bytes = location.beside("-wal").metadata().map_or(0, |metadata| metadata.len());
    match read_once(location, |connection| Ok((schema_of(connection), faults(connection)?)))? {
        (Schema::Outdated, _) => Ok(DatabaseStatus::Outdated),
        (Schema::Newer, _) => Ok(DatabaseStatus::Newer),
        (Schema::Current, faults) => Ok(DatabaseStatus::Current { bytes: metadata.len(), wal_bytes, faults }),
    }
}

/// Reads from an existing file over a connection of its own.
pub(crate) fn read_once<T>(
    location: &Location,
    query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> Result<T, DbError> {
    Ok(query(&mut connection::open_for_reading(location)?)?)
}

/// The number of faults that are reported.
const MAX_FAULTS: usize = 5;

/// The first faults that SQLite finds, table by table. Each table is checked in a read of its own, because the WAL of a
/// busy database grows during a read.
fn faults(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Table {
        #[diesel(sql_type = Text)]
        name: String,
    }
    // The check of the schema table covers the list of free pages.
    let tables = "SELECT 'sqlite_schema' AS name UNION ALL SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut faults = Vec::new();
    for Table { name } in diesel::sql_query(tables).load::<Table>(connection)? {
        faults.extend(faults_of(connection, &name)?);
        if faults.len() >= MAX_FAULTS {
            break;
        }
    }
    faults.truncate(MAX_FAULTS);
    Ok(faults)
}

/// `PRAGMA integrity_check` (SQLite) of one table: one row of "ok" or one for each fault.
fn faults_of(connection: &mut SqliteConnection, table: &str) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    let check = format!("PRAGMA integrity_check(\"{}\")", table.replace('"', "\"\""));
    let rows = diesel::sql_query(check).load::<Row>(connection)?;
    Ok(rows.into_iter().map(|row| row.integrity_check).filter(|row| row != "ok").collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::SimpleConnection;
    use diesel::sql_types::Integer;

    use super::*;

    diesel::define_sql_function! {
        /// Called while the table is checked in which this number is stored.
        fn checked(number: Integer) -> Bool;
    }

    #[derive(Debug, PartialEq, QueryableByName)]
    struct Wal {
        #[diesel(sql_type = Integer)]
        log: i32,
        #[diesel(sql_type = Integer)]
        checkpointed: i32,
    }

    #[test]
    fn the_check_of_a_table_does_not_block_checkpoints_during_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        let mut neighbour = connection::open_for_writing(&location).unwrap();
        checked_utils::register_impl(&mut neighbour, |_: i32| true).unwrap();
        let tables = "CREATE TABLE one (number INTEGER CHECK (checked(number))); INSERT INTO one VALUES (1);
                      CREATE TABLE two (number INTEGER CHECK (checked(number))); INSERT INTO two VALUES (2);
                      CREATE TABLE written (number INTEGER)";
        neighbour.batch_execute(tables).unwrap();

        let mut reader = connection::open_for_reading(&location).unwrap();
        let (neighbour, wals) = (Mutex::new(neighbour), Arc::new(Mutex::new(Vec::new())));
        let seen = wals.clone();
        checked_utils::register_impl(&mut reader, move |number: i32| {
            let mut neighbour = neighbour.lock().unwrap();
            if number == 1 {
                neighbour.batch_execute("INSERT INTO written VALUES (1)").unwrap();
            }
            let wal = diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result::<Wal>(&mut *neighbour).unwrap();
            seen.lock().unwrap().push((number, wal.checkpointed == wal.log));
            true
        })
        .unwrap();

        assert_eq!(faults(&mut reader).unwrap(), Vec::<String>::new());
        assert_eq!(*wals.lock().unwrap(), [(1, false), (2, true)]);
    }
}
