//! Writes beside a program that keeps a read of the database open.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use m3a3::db::{Database, Location, schema};

use crate::harness::app::DEADLINE;

const PAGES: u64 = 40_000;
/// A page of the WAL with its header.
const PAGE_BYTES: u64 = 4096 + 24;
/// What a write may take.
const LIMIT: Duration = Duration::from_millis(250);
/// What a checkpoint that waits for the reader takes, and no disk does.
const STALL: Duration = Duration::from_secs(5);
/// Writes in a row, over more than two checkpoints' time, none of which may take longer.
const IN_A_ROW: usize = 20;

fn idle_reader(location: &Location) -> SqliteConnection {
    let mut reader = SqliteConnection::establish(location.path().to_str().unwrap()).unwrap();
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").unwrap();
    reader
}

async fn timed<F>(database: &Database, change: F) -> Duration
where
    F: FnOnce(&mut SqliteConnection) -> QueryResult<()> + Send + 'static,
{
    let begun = Instant::now();
    database.write(change).await.unwrap();
    begun.elapsed()
}

fn add_user(connection: &mut SqliteConnection) -> QueryResult<()> {
    diesel::insert_into(schema::users::table).default_values().execute(connection).map(drop)
}

#[tokio::test]
async fn an_idle_reader_stalls_no_write_however_long_the_wal_is() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::new(folder.path().join("m3a3.db"));
    let (database, thread) = Database::open(&location).unwrap();
    database.write(|connection| connection.batch_execute("CREATE TABLE filler (bytes BLOB)")).await.unwrap();
    let reader = idle_reader(&location);
    let wal = folder.path().join("m3a3.db-wal");
    while wal.metadata().unwrap().len() < PAGES * PAGE_BYTES {
        let fill = |connection: &mut SqliteConnection| {
            connection.batch_execute("INSERT INTO filler VALUES (zeroblob(4000000))")
        };
        let took = timed(&database, fill).await;
        assert!(took < STALL, "a write took {took:?} with a WAL of {} bytes", wal.metadata().unwrap().len());
    }

    // A busy machine delays some write now and then; a reader that stalls writes stalls every one of them.
    let deadline = Instant::now() + DEADLINE;
    let mut in_a_row = 0;
    while in_a_row < IN_A_ROW {
        let took = timed(&database, add_user).await;
        assert!(took < STALL, "a write took {took:?}");
        in_a_row = if took < LIMIT { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "writes keep taking longer than {LIMIT:?}, the last one {took:?}");
    }
    drop(reader);
    thread.close().await;
}
