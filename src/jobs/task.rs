//! Typed payloads: one type per kind of job.

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{JobState, Kind};
use crate::db::UnixMillis;
use crate::db::schema::job_queue::jobs;
use crate::ids::{JobId, TraceParent, UserId};

/// The work that a job of one kind asks for. Its JSON is the job's payload.
///
/// A payload may stay in the database for weeks, so a changed type has to read what earlier versions wrote.
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The kind of its jobs.
    const KIND: Kind;

    /// A job is not stored while another job of the same kind and dedup key blocks it ([`super::DedupScope`]).
    fn dedup_key(&self) -> Option<String> {
        None
    }

    /// The user whom the job is for. Users take turns within a kind; all jobs without a user count as those of one. The
    /// payload has it as `userId`, by which operators filter.
    fn user_id(&self) -> Option<UserId>;
}

/// When and by which request a job is enqueued.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The time of creation, from which the job is due.
    pub now: UnixMillis,
    /// The trace context of the request, which the span of the job is linked to.
    pub trace: Option<&'a TraceParent>,
}

impl From<UnixMillis> for Origin<'_> {
    fn from(now: UnixMillis) -> Self {
        Self { now, trace: None }
    }
}

/// Stores a job in the caller's transaction and returns its id; `None` if its dedup key is taken.
pub fn enqueue<'a>(
    connection: &mut SqliteConnection,
    task: &impl Task,
    origin: impl Into<Origin<'a>>,
) -> QueryResult<Option<JobId>> {
    let id = JobId::generate();
    Ok(enqueue_as(connection, id, task, origin.into())?.then_some(id))
}

/// Stores a job under an id that other rows refer to. Returns `false` if its dedup key is taken.
pub(crate) fn enqueue_as<T: Task>(
    connection: &mut SqliteConnection,
    id: JobId,
    task: &T,
    Origin { now, trace }: Origin<'_>,
) -> QueryResult<bool> {
    let payload = serde_json::to_string(task).map_err(|error| Error::SerializationError(Box::new(error)))?;
    let user_id = task.user_id().map_or(0, UserId::get);
    let rows = diesel::insert_or_ignore_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::kind.eq(T::KIND.name),
            jobs::payload.eq(payload),
            jobs::dedup.eq(task.dedup_key()),
            jobs::run_at.eq(now),
            jobs::created_at.eq(now),
            jobs::user_id.eq(user_id),
            jobs::traceparent.eq(trace.map(TraceParent::as_str)),
        ))
        .execute(connection)?;
    Ok(rows == 1)
}

/// Deletes a job that no worker has claimed, by its kind and dedup key.
pub(crate) fn withdraw(connection: &mut SqliteConnection, kind: Kind, dedup_key: &str) -> QueryResult<()> {
    let job = jobs::table.filter(jobs::kind.eq(kind.name)).filter(jobs::dedup.eq(dedup_key));
    diesel::delete(job.filter(jobs::state.eq(JobState::Queued))).execute(connection)?;
    Ok(())
}
