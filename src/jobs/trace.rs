//! The trace context of the request that has enqueued a job: the column `jobs.traceparent`.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::schema::job_traces::jobs;
use crate::ids::{JobId, TraceParent};

pub(super) fn store(connection: &mut SqliteConnection, id: JobId, trace: &TraceParent) -> QueryResult<()> {
    let job = jobs::table.find(id.to_string());
    diesel::update(job).set(jobs::traceparent.eq(trace.as_str())).execute(connection)?;
    Ok(())
}

/// The trace context of the request that has enqueued this job.
pub(crate) fn trace_of(connection: &mut SqliteConnection, id: JobId) -> QueryResult<Option<TraceParent>> {
    let stored = jobs::table.find(id.to_string()).select(jobs::traceparent);
    let stored = stored.first::<Option<String>>(connection).optional()?.flatten();
    Ok(stored.and_then(|text| text.parse().ok()))
}
