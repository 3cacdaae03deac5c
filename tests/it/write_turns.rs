//! Several processes that write to one database. Each [`Database`] here represents one, with its own writer thread.

use std::fs::File;
use std::sync::{Arc, Mutex};

use diesel::prelude::*;
use futures_util::future::join_all;
use futures_util::poll;
use m3a3::db::{Database, Location, schema};
use tempfile::TempDir;

/// The writes of each process: many times the size of one transaction.
const WRITES: usize = 5000;

fn location(folder: &TempDir) -> Location {
    Location::new(folder.path().join("m3a3.db"))
}

fn add_user(connection: &mut SqliteConnection) -> QueryResult<usize> {
    diesel::insert_into(schema::users::table).default_values().execute(connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_write_continuously_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let (one, one_thread) = Database::open(&location(&folder)).unwrap();
    let (other, other_thread) = Database::open(&location(&folder)).unwrap();
    // In the order of their transactions, because entries are added under SQLite's write lock.
    let order = Arc::new(Mutex::new(Vec::with_capacity(2 * WRITES)));
    let writes = |database: Database, name: char| {
        let order = order.clone();
        join_all((0..WRITES).map(move |_| {
            let (database, order) = (database.clone(), order.clone());
            async move {
                let write = database.write(move |connection| {
                    order.lock().unwrap().push(name);
                    add_user(connection)
                });
                write.await.unwrap()
            }
        }))
    };
    // No write starts before both queues are full.
    let (filled, gate) = std::sync::mpsc::channel::<()>();
    let mut first = Box::pin(one.write(move |_| Ok(gate.recv().is_ok())));
    let _ = poll!(&mut first);
    let mut of_one = Box::pin(writes(one.clone(), '1'));
    let mut of_other = Box::pin(writes(other.clone(), '2'));
    let _ = (poll!(&mut of_one), poll!(&mut of_other));
    filled.send(()).unwrap();
    assert!(first.await.unwrap());
    tokio::join!(of_one, of_other);

    let mut turns = order.lock().unwrap().clone();
    assert_eq!(turns.len(), 2 * WRITES);
    turns.dedup();
    // About 20 alternating transactions.
    assert!(turns.len() >= 10, "{turns:?}");
    one_thread.close().await;
    other_thread.close().await;
}

#[tokio::test]
async fn a_process_that_is_stopped_in_its_turn_does_not_stop_others() {
    for lock in ["m3a3.db-queue", "m3a3.db-turn"] {
        let folder = tempfile::tempdir().unwrap();
        let (database, thread) = Database::open(&location(&folder)).unwrap();
        let stopped = File::options().write(true).open(folder.path().join(lock)).unwrap();
        stopped.lock().unwrap();
        assert_eq!(database.write(add_user).await.unwrap(), 1, "{lock}");
        assert_eq!(database.write(add_user).await.unwrap(), 1, "{lock}");
        stopped.unlock().unwrap();
        assert_eq!(database.write(add_user).await.unwrap(), 1, "{lock}");
        thread.close().await;
    }
}
