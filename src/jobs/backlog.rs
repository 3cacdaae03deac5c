//! What is left to do, and what was given up.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use crate::db::UnixMillis;

/// The jobs of one kind in one state.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Backlog {
    /// The kind's name.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// `queued`, `running` or `dead`.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// How many there are.
    #[diesel(sql_type = BigInt)]
    pub jobs: i64,
    /// From when on the first of them may run or might have run.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub first_run_at: Option<UnixMillis>,
}

/// Counts the jobs of every kind that there is, in every state but `done`.
///
/// Those that are done are never looked at, so that it costs what is left to do and not what was ever done.
///
/// # Errors
/// When the query fails.
pub fn backlog(connection: &mut SqliteConnection) -> QueryResult<Vec<Backlog>> {
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
