//! A kind of job, as far as the engine knows it. The kinds themselves are registered by the product, in one list.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

/// A kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The name in `jobs.kind`.
    pub name: &'static str,
    /// How long a dedup key blocks another job of the same kind and key.
    pub dedup: DedupScope,
    /// Whether an installation may run no worker of this kind. Queued jobs of an optional kind expire with the
    /// retention period; others wait for ever.
    pub optional: bool,
}

/// How long a dedup key blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupScope {
    /// While the job is queued or running.
    WhileActive,
    /// As long as the row exists.
    Forever,
}

/// The kinds that occur in the table, by a handful of index seeks.
pub(super) fn stored_kinds(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        kind: String,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "WITH RECURSIVE kinds (kind) AS (
             SELECT min(kind) FROM jobs
             UNION ALL
             SELECT (SELECT min(kind) FROM jobs WHERE kind > kinds.kind) FROM kinds WHERE kind IS NOT NULL
         )
         SELECT kind FROM kinds WHERE kind IS NOT NULL",
    )
    .load(connection)?;
    Ok(rows.into_iter().map(|row| row.kind).collect())
}
