//! What became of a job, for whoever made it.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::Kind;
use crate::db::schema::jobs;

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct JobStatus {
    /// `queued`, `running`, `done` or `dead`.
    pub state: String,
    /// Failed attempts so far.
    pub attempts: i32,
    /// What went wrong last, for the operator; `None` once it is done.
    pub error: Option<String>,
}

/// Reads the job of this kind whose dedup key this is, while the key holds ([`super::DedupScope`]).
///
/// # Errors
/// When the query fails.
pub fn by_dedup(connection: &mut SqliteConnection, kind: Kind, dedup: &str) -> QueryResult<Option<JobStatus>> {
    jobs::table
        .filter(jobs::kind.eq(kind.name))
        .filter(jobs::dedup.eq(dedup))
        .select((jobs::state, jobs::attempts, jobs::error))
        .first(connection)
        .optional()
}
