//! The trace context of the request that has enqueued a job: the column `jobs.traceparent`.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::schema::job_queue::jobs;
use crate::ids::{JobId, TraceParent};

/// The trace context of the request that has enqueued this job.
pub(crate) fn trace_of(connection: &mut SqliteConnection, id: JobId) -> QueryResult<Option<TraceParent>> {
    let stored = jobs::table.find(id.to_string()).select(jobs::traceparent);
    let stored = stored.get_result::<Option<String>>(connection).optional()?.flatten();
    Ok(stored.and_then(|text| text.parse().ok()))
}
