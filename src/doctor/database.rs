//! The database: is it there, is it this m3a3's, is it whole, is its log of a bearable size?

use super::Finding;
use crate::db::{DatabaseStatus, Location, inspect};

const RESTORE: &str = "stop every m3a3 and restore a backup, or save what `sqlite3 FILE .recover` finds";
/// A log that is cut back at 64 MiB and yet grew past this is held open by somebody's long read.
const MAX_WAL_BYTES: u64 = 256 << 20;

pub(super) fn check(location: &Location) -> Vec<Finding> {
    let path = location.path().display().to_string();
    match inspect(location) {
        Err(error) => {
            let told = error.to_string();
            let damaged = ["malformed", "not a database", "disk image"].iter().any(|word| told.contains(word));
            vec![Finding::error("database", told, if damaged { RESTORE } else { "check the file and who may read it" })]
        }
        Ok(DatabaseStatus::Missing) => {
            let advice = "check database.url and the working directory; a server or `m3a3 migrate` makes a new one";
            vec![Finding::error("database", format!("{path} is not there"), advice)]
        }
        Ok(DatabaseStatus::Outdated) => {
            let detail = format!("{path} is not up to date");
            vec![Finding::error("database", detail, "run `m3a3 migrate`, as every start does")]
        }
        Ok(DatabaseStatus::Newer) => {
            vec![Finding::error("database", format!("{path} was used by a newer m3a3"), "install that version")]
        }
        Ok(DatabaseStatus::Current { bytes, wal_bytes, faults }) => {
            vec![whole(&path, bytes, &faults), log(wal_bytes)]
        }
    }
}

fn whole(path: &str, bytes: u64, faults: &[String]) -> Finding {
    match faults.first() {
        None => Finding::ok("database", format!("{path}, {} MiB, whole", bytes >> 20)),
        Some(fault) => Finding::error("database", format!("{path} is damaged: {fault}"), RESTORE),
    }
}

fn log(wal_bytes: u64) -> Finding {
    let detail = format!("{} MiB", wal_bytes >> 20);
    match wal_bytes > MAX_WAL_BYTES {
        false => Finding::ok("WAL", detail),
        true => {
            Finding::error("WAL", detail, "end whatever program keeps a read of the database open, or restart m3a3")
        }
    }
}
