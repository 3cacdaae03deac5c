//! Rows for new jobs.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::Kind;
use crate::db::{UnixMillis, schema::jobs};
use crate::ids::JobId;

/// A job to be.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Which worker it is for.
    pub kind: Kind,
    /// JSON, of the kind's own form.
    pub payload: String,
    /// No second job of this kind and key is made while the first one's key holds ([`super::DedupScope`]).
    pub dedup: Option<String>,
}

/// Writes the job's row in the caller's transaction, and says whether it did: `false` means that a job with the same
/// dedup key is there already.
///
/// # Errors
/// When the statement fails.
pub fn enqueue(connection: &mut SqliteConnection, job: &NewJob, now: UnixMillis) -> QueryResult<bool> {
    let rows = diesel::insert_or_ignore_into(jobs::table)
        .values((
            jobs::id.eq(job.id.to_string()),
            jobs::kind.eq(job.kind.name),
            jobs::payload.eq(&job.payload),
            jobs::dedup.eq(&job.dedup),
            jobs::run_at.eq(now),
            jobs::created_at.eq(now),
        ))
        .execute(connection)?;
    Ok(rows == 1)
}

/// Takes back a job that nobody has begun, by its kind and dedup key, as if it had never been made.
///
/// # Errors
/// When the statement fails.
pub fn withdraw(connection: &mut SqliteConnection, kind: Kind, dedup: &str) -> QueryResult<()> {
    let waiting = jobs::table.filter(jobs::kind.eq(kind.name)).filter(jobs::dedup.eq(dedup));
    diesel::delete(waiting.filter(jobs::state.eq("queued"))).execute(connection)?;
    Ok(())
}
