//! Checks that the database exists, has the schema of this version, is intact, and has a WAL of reasonable size.

use super::Finding;
use crate::db::{DatabaseStatus, Location, inspect};

const RESTORE: &str = "stop every m3a3 and restore a backup, or recover rows with `sqlite3 FILE .recover`";
/// The WAL is truncated at 64 MiB; one that has grown past this is held open by a long read.
const MAX_WAL_BYTES: u64 = 256 << 20;

pub(super) fn check(location: &Location) -> Vec<Finding> {
    let path = location.path().display().to_string();
    match inspect(location) {
        Err(error) => {
            let detail = error.to_string();
            let is_damaged = ["malformed", "not a database", "disk image"].iter().any(|word| detail.contains(word));
            vec![Finding::error(
                "database",
                detail,
                if is_damaged { RESTORE } else { "check the file and its permissions" },
            )]
        }
        Ok(DatabaseStatus::Missing) => {
            let advice = "check database.url and the working directory; a server or `m3a3 migrate` creates a new one";
            vec![Finding::error("database", format!("{path} does not exist"), advice)]
        }
        Ok(DatabaseStatus::Outdated) => {
            let detail = format!("the schema of {path} is not up to date");
            vec![Finding::error("database", detail, "run `m3a3 migrate`, as every start does")]
        }
        Ok(DatabaseStatus::Newer) => {
            let detail = format!("{path} was migrated by a newer m3a3");
            vec![Finding::error("database", detail, "install that version")]
        }
        Ok(DatabaseStatus::Current { bytes, wal_bytes, faults }) => {
            vec![integrity(&path, bytes, &faults), wal(wal_bytes)]
        }
    }
}

fn integrity(path: &str, bytes: u64, faults: &[String]) -> Finding {
    match faults.first() {
        None => Finding::ok("database", format!("{path}, {} MiB, intact", bytes >> 20)),
        Some(fault) => Finding::error("database", format!("{path} is damaged: {fault}"), RESTORE),
    }
}

fn wal(wal_bytes: u64) -> Finding {
    let detail = format!("{} MiB", wal_bytes >> 20);
    match wal_bytes > MAX_WAL_BYTES {
        false => Finding::ok("WAL", detail),
        true => {
            Finding::error("WAL", detail, "stop the program that keeps a read of the database open, or restart m3a3")
        }
    }
}
