//! The readiness checks of both servers; each server adds its own.

use std::path::PathBuf;
use std::time::Duration;

use diesel::RunQueryDsl;
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::bus::Bus;
use crate::config::Config;
use crate::db::{Database, Location};
use crate::files::free_bytes_below;
use crate::http::draining::Draining;
use crate::http::health::{Check, Readiness};

/// A longer wait makes the server unavailable.
const WRITE_WAIT_LIMIT: Duration = Duration::from_secs(5);
/// The timeout of a probe write: above the limit, so that a probe that times out counts as unavailable.
const PROBE_TIMEOUT: Duration = WRITE_WAIT_LIMIT.saturating_add(Duration::from_millis(50));

/// Checks of the database, its disk, and Redis; without Redis the server is degraded, and in its drain unavailable.
pub(crate) fn common(config: &Config, database: &Database, bus: &Bus, draining: &Draining) -> Readiness {
    let (database, bus) = (database.clone(), bus.clone());
    let (folder, wanted) = (database_folder(config), config.serve.min_free_bytes);
    Readiness::new(draining.clone())
        .with("database", move || check_database(database.clone()).boxed())
        .with("database disk", move || {
            let check = check_disk(free_bytes_below(&folder), wanted);
            async { check }.boxed()
        })
        .with("redis", move || {
            let check = match bus.is_connected() {
                true => Check::Fine,
                false => Check::Degraded("not connected; notifications are delayed".to_owned()),
            };
            async { check }.boxed()
        })
}

/// Unavailable with fewer free bytes than `wanted`.
pub(crate) fn check_disk(free: std::io::Result<u64>, wanted: u64) -> Check {
    match free {
        Ok(free) if free >= wanted => Check::Fine,
        Ok(free) => Check::Unavailable(format!("only {free} bytes are free")),
        Err(error) => Check::Unavailable(error.to_string()),
    }
}

fn database_folder(config: &Config) -> PathBuf {
    Location::new(&config.database.path).folder().to_owned()
}

async fn check_database(database: Database) -> Check {
    let read = database.read(|connection| diesel::sql_query("SELECT 1 FROM users").execute(connection)).await;
    match read {
        Err(error) => Check::Unavailable(error.to_string()),
        Ok(_) => check_writes(&database).await,
    }
}

/// Checks that writes commit. An idle writer is probed with an empty write; a busy one reports its longest wait.
async fn check_writes(database: &Database) -> Check {
    if database.writer_status().longest_wait.is_none() {
        // The writer status below contains the result, or the wait so far.
        let _ = timeout(PROBE_TIMEOUT, database.try_write(|_| Ok(()))).await;
    }
    let status = database.writer_status();
    match (status.failure, status.longest_wait) {
        _ if status.has_ended => Check::Unavailable("the writer has ended".to_owned()),
        (Some(failure), _) => Check::Unavailable(format!("the last commit failed: {failure}")),
        (None, Some(wait)) if wait >= WRITE_WAIT_LIMIT => {
            Check::Unavailable(format!("writes have been waiting for {:.1} s", wait.as_secs_f64()))
        }
        (None, _) => Check::Fine,
    }
}
