//! The database: is it there, is it this m3a3's, is it whole, is its log of a bearable size?

use super::Finding;
use crate::db::{Condition, Location, condition};

const RESTORE: &str = "stop every m3a3 and restore a backup, or save what `sqlite3 FILE .recover` finds";
/// A log that is cut back at 64 MiB and yet grew past this is held open by somebody's long read.
const MAX_WAL_BYTES: u64 = 256 << 20;

pub(super) fn examine(location: &Location) -> Vec<Finding> {
    let path = location.path().display().to_string();
    match condition(location) {
        Err(error) => {
            let told = error.to_string();
            let damaged = ["malformed", "not a database", "disk image"].iter().any(|word| told.contains(word));
            vec![Finding::wrong("database", told, if damaged { RESTORE } else { "check the file and who may read it" })]
        }
        Ok(Condition::Missing) => {
            let advice = "check database.url and the working directory; a server or `m3a3 migrate` makes a new one";
            vec![Finding::wrong("database", format!("{path} is not there"), advice)]
        }
        Ok(Condition::Outdated) => {
            let seen = format!("{path} is not up to date");
            vec![Finding::wrong("database", seen, "run `m3a3 migrate`, as every start does")]
        }
        Ok(Condition::Newer) => {
            vec![Finding::wrong("database", format!("{path} was used by a newer m3a3"), "install that version")]
        }
        Ok(Condition::Current { bytes, wal_bytes, faults }) => {
            vec![whole(&path, bytes, &faults), log(wal_bytes)]
        }
    }
}

fn whole(path: &str, bytes: u64, faults: &[String]) -> Finding {
    match faults.first() {
        None => Finding::fine("database", format!("{path}, {} MiB, whole", bytes >> 20)),
        Some(fault) => Finding::wrong("database", format!("{path} is damaged: {fault}"), RESTORE),
    }
}

fn log(wal_bytes: u64) -> Finding {
    let seen = format!("{} MiB", wal_bytes >> 20);
    match wal_bytes > MAX_WAL_BYTES {
        false => Finding::fine("WAL", seen),
        true => Finding::wrong("WAL", seen, "end whatever program keeps a read of the database open, or restart m3a3"),
    }
}
