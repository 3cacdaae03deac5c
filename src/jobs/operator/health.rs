//! Signs of trouble: expired leases, jobs that wait for their environment, jobs created in the future.

use diesel::dsl::{count_star, min};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::UnixMillis;
use crate::db::schema::{job_delays, jobs};
use crate::ids::JobId;
use crate::jobs::JobState;
use crate::jobs::kind::stored_kinds;

/// A job whose lease has expired. A worker of its kind would have rescued it at its next sweep.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct ExpiredLease {
    pub(crate) job: JobId,
    pub(crate) kind: String,
    pub(crate) lease_until: UnixMillis,
}

/// The jobs whose lease has expired, the oldest lease first.
pub(crate) fn expired_leases(connection: &mut SqliteConnection, now: UnixMillis) -> QueryResult<Vec<ExpiredLease>> {
    // Each kind by name, so that the index on kind and state is used.
    let kinds = stored_kinds(connection)?;
    jobs::table
        .filter(jobs::kind.eq_any(kinds))
        .filter(jobs::state.eq(JobState::Running))
        .filter(jobs::lease_until.lt(now))
        .order(jobs::lease_until)
        .select((jobs::id, jobs::kind, jobs::lease_until.assume_not_null()))
        .load(connection)
}

/// When the newest job was created; ids sort by creation time.
pub(crate) fn newest_job(connection: &mut SqliteConnection) -> QueryResult<Option<UnixMillis>> {
    jobs::table.select(jobs::created_at).order(jobs::id.desc()).first(connection).optional()
}

/// The jobs of one kind that wait for the environment because of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct Delayed {
    pub(crate) kind: String,
    /// The last failure.
    pub(crate) cause: String,
    /// The number of jobs.
    pub(crate) jobs: i64,
    /// The start of the longest wait.
    pub(crate) since: Option<UnixMillis>,
}

/// Counts the jobs that wait for the environment, the most frequent cause first.
pub(crate) fn delayed(connection: &mut SqliteConnection) -> QueryResult<Vec<Delayed>> {
    let mut delayed: Vec<Delayed> = job_delays::table
        .inner_join(jobs::table.on(jobs::id.eq(job_delays::job_id)))
        .group_by((jobs::kind, job_delays::cause))
        .select((jobs::kind, job_delays::cause, count_star(), min(job_delays::since)))
        .load(connection)?;
    delayed.sort_by_key(|delayed| std::cmp::Reverse(delayed.jobs));
    Ok(delayed)
}
