//! The status of a job, for the module that enqueued it.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::{JobState, Kind};
use crate::db::schema::jobs;

/// The status of a job.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct JobStatus {
    pub(crate) state: JobState,
    /// Attempts, with the one that is running or has succeeded.
    pub(crate) attempts: i32,
    /// The last error, for the operator; `None` once the job is done.
    pub(crate) error: Option<String>,
}

/// Reads the job of this kind and dedup key, as long as it keeps the key ([`super::DedupScope`]).
pub(crate) fn by_dedup(
    connection: &mut SqliteConnection,
    kind: Kind,
    dedup_key: &str,
) -> QueryResult<Option<JobStatus>> {
    let status = jobs::table
        .filter(jobs::kind.eq(kind.name))
        .filter(jobs::dedup.eq(dedup_key))
        .select((jobs::state, jobs::attempts, jobs::error))
        .get_result::<JobStatus>(connection)
        .optional()?;
    Ok(status.map(|status| JobStatus { attempts: status.state.attempts(status.attempts), ..status }))
}
