//! Counts unfinished and dead jobs.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use crate::db::UnixMillis;
use crate::jobs::JobState;

/// The jobs of one kind in one state.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(crate) struct Backlog {
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    /// Queued, running or dead.
    #[diesel(sql_type = Text)]
    pub(crate) state: JobState,
    /// Their number.
    #[diesel(sql_type = BigInt)]
    pub(crate) jobs: i64,
    /// The earliest due time; `None` without jobs.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) first_run_at: Option<UnixMillis>,
}

/// Counts the jobs of every kind that are queued, running or dead.
///
/// Finished jobs are never read, so the cost depends on the backlog and not on the history.
pub(crate) fn backlog(connection: &mut SqliteConnection) -> QueryResult<Vec<Backlog>> {
    diesel::sql_query(
        "WITH RECURSIVE
             kinds (kind) AS (
                 SELECT min(kind) FROM jobs
                 UNION ALL
                 SELECT (SELECT min(kind) FROM jobs WHERE kind > kinds.kind) FROM kinds WHERE kind IS NOT NULL
             ),
             states (state) AS (VALUES ('queued'), ('running'), ('dead'))
         SELECT kind, state,
             (SELECT count(*) FROM jobs WHERE kind = kinds.kind AND state = states.state) AS jobs,
             (SELECT min(run_at) FROM jobs WHERE kind = kinds.kind AND state = states.state) AS first_run_at
         FROM kinds, states WHERE kind IS NOT NULL ORDER BY kind, state",
    )
    .load(connection)
}
