//! A row for each attempt, for the operator. Written in the transaction that ends the attempt.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use super::AttemptOutcome;
use super::claim::held;
use crate::db::{UnixMillis, schema::job_attempts, schema::jobs};
use crate::ids::JobId;

/// Records the outcome of the attempt under this lease; call it before the lease is removed from the row. Writes
/// nothing for an attempt that has not started or has lost its lease.
pub(super) fn record(
    connection: &mut SqliteConnection,
    job: JobId,
    lease_token: i64,
    outcome: AttemptOutcome,
    error: Option<&str>,
    now: UnixMillis,
) -> QueryResult<()> {
    held(job, lease_token)
        .filter(jobs::started_at.is_not_null())
        .filter(jobs::lease_owner.is_not_null())
        .select((
            jobs::id,
            jobs::lease_owner.assume_not_null(),
            jobs::started_at.assume_not_null(),
            now.into_sql::<BigInt>(),
            outcome.into_sql::<Text>(),
            error.into_sql::<Nullable<Text>>(),
        ))
        .insert_into(job_attempts::table)
        .into_columns((
            job_attempts::job_id,
            job_attempts::worker,
            job_attempts::started_at,
            job_attempts::ended_at,
            job_attempts::outcome,
            job_attempts::error,
        ))
        .execute(connection)?;
    Ok(())
}
