//! Writes while another program keeps a read of the database open.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use m3a3::db::{Database, Location, schema};

use crate::harness::app::DEADLINE;

const PAGES: u64 = 40_000;
/// The size of a page in the WAL with its header.
const PAGE_BYTES: u64 = 4096 + 24;
/// The longest write that counts as fast.
const LIMIT: Duration = Duration::from_millis(250);
/// Longer than any disk needs: a write this slow waited for the reader.
const STALL: Duration = Duration::from_secs(5);
/// The number of consecutive fast writes, which take longer than two checkpoints.
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

    // A busy machine delays some writes; a reader that stalls writes stalls every one.
    let deadline = Instant::now() + DEADLINE;
    let mut in_a_row = 0;
    while in_a_row < IN_A_ROW {
        let took = timed(&database, add_user).await;
        assert!(took < STALL, "a write took {took:?}");
        in_a_row = if took < LIMIT { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "writes keep exceeding {LIMIT:?}, the last one took {took:?}");
    }
    drop(reader);
    thread.close().await;
}
