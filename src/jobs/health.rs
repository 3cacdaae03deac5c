//! Signs that nobody sees to the jobs.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::UnixMillis;
use crate::db::schema::jobs;

/// A job whose lease has run out, although every worker of its kind takes such a job over at its next sweep.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct ExpiredLease {
    /// Its id.
    pub id: String,
    /// Its kind's name.
    pub kind: String,
    /// Until when it was held.
    pub lease_until: UnixMillis,
}

/// The jobs whose lease has run out, the oldest first.
///
/// # Errors
/// When the query fails.
pub fn expired_leases(connection: &mut SqliteConnection, now: UnixMillis) -> QueryResult<Vec<ExpiredLease>> {
    jobs::table
        .filter(jobs::kind.eq_any(super::KINDS.map(|kind| kind.name)))
        .filter(jobs::state.eq("running"))
        .filter(jobs::lease_until.lt(now))
        .order(jobs::lease_until)
        .select((jobs::id, jobs::kind, jobs::lease_until.assume_not_null()))
        .load(connection)
}

/// When the newest job was made; `None` where there is none. Ids sort by the time they were made.
///
/// # Errors
/// When the query fails.
pub fn newest_job(connection: &mut SqliteConnection) -> QueryResult<Option<UnixMillis>> {
    jobs::table.select(jobs::created_at).order(jobs::id.desc()).first(connection).optional()
}
