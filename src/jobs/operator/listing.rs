//! Lists jobs, and shows one job with its attempts.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

use crate::db::schema::{job_attempts, jobs};
use crate::db::{UnixMillis, timestamp};
use crate::ids::{JobId, UserId};
use crate::jobs::kind::stored_kinds;
use crate::jobs::{AttemptOutcome, JobState, Kind, WorkerId};

/// Which jobs to list; each field that is set narrows the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) state: Option<JobState>,
    pub(crate) kind: Option<Kind>,
    pub(crate) user: Option<UserId>,
    /// Created at this time or later.
    pub(crate) since: Option<UnixMillis>,
    /// Created before this job: the last one of the previous page.
    pub(crate) before: Option<JobId>,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// The id.
    pub id: JobId,
    /// The name of the kind.
    pub kind: String,
    /// The state.
    pub state: JobState,
    /// Attempts, with the one that is running or has succeeded.
    pub attempts: i32,
    /// Workers that died while they ran it.
    pub crashes: i32,
    /// The last error; `None` once the job is done.
    pub error: Option<String>,
    /// A note on a job that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The user whom the job is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// The time of creation.
    #[serde(serialize_with = "timestamp::serialize")]
    pub created_at: UnixMillis,
    /// The due time.
    #[serde(serialize_with = "timestamp::serialize")]
    pub run_at: UnixMillis,
    /// The time of the end.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "timestamp::serialize_optional")]
    pub finished_at: Option<UnixMillis>,
}

/// An attempt in the history of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable)]
#[serde(rename_all = "camelCase")]
pub struct AttemptSummary {
    /// The id of the worker.
    pub worker: WorkerId,
    /// The time of the start.
    #[serde(serialize_with = "timestamp::serialize")]
    pub started_at: UnixMillis,
    /// The time of the end; `None` while it is running.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "timestamp::serialize_optional")]
    pub ended_at: Option<UnixMillis>,
    /// The outcome.
    pub outcome: AttemptOutcome,
    /// The error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A job with its payload and its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDetails {
    /// The job.
    #[serde(flatten)]
    pub job: JobSummary,
    /// The payload.
    pub payload: serde_json::Value,
    /// Every attempt that started, the oldest first.
    pub history: Vec<AttemptSummary>,
}

type Owner = SqlLiteral<Nullable<BigInt>>;

/// Every payload has the user under this name, if there is one ([`crate::jobs::Task::user_id`]).
fn owner() -> Owner {
    sql("json_extract(payload, '$.userId')")
}

#[diesel::dsl::auto_type]
fn columns() -> _ {
    let owner: Owner = owner();
    (
        jobs::id,
        jobs::kind,
        jobs::state,
        jobs::attempts,
        jobs::crashes,
        jobs::error,
        jobs::note,
        owner,
        jobs::created_at,
        jobs::run_at,
        jobs::finished_at,
    )
}

/// Reads at most `limit` jobs, the newest first; ids sort by creation time.
pub(crate) fn list(connection: &mut SqliteConnection, filter: &Filter, limit: i64) -> QueryResult<Vec<JobSummary>> {
    let mut query = jobs::table.select(columns()).order(jobs::id.desc()).limit(limit).into_boxed();
    if let Some(state) = filter.state {
        // Dead and cancelled jobs have a partial index, which SQLite uses only if the state is a literal.
        query = match state {
            JobState::Dead => query.filter(sql::<Bool>("state = 'dead'")),
            JobState::Cancelled => query.filter(sql::<Bool>("state = 'cancelled'")),
            JobState::Queued | JobState::Running | JobState::Done => query.filter(jobs::state.eq(state)),
        };
    }
    match (filter.kind, filter.state) {
        (Some(kind), _) => query = query.filter(jobs::kind.eq(kind.name)),
        // Each kind by name, so that the index on kind and state finds unfinished jobs without reading finished ones.
        (None, Some(JobState::Queued | JobState::Running)) => {
            query = query.filter(jobs::kind.eq_any(stored_kinds(connection)?));
        }
        (None, _) => {}
    }
    if let Some(user) = filter.user {
        query = query.filter(owner().eq(user.get()));
    }
    if let Some(since) = filter.since {
        // An id contains its creation time, so no older row is read.
        query = query.filter(jobs::id.ge(JobId::first_at(since))).filter(jobs::created_at.ge(since));
    }
    if let Some(before) = filter.before {
        query = query.filter(jobs::id.lt(before));
    }
    Ok(query.load::<JobSummary>(connection)?.into_iter().map(JobSummary::with_attempts).collect())
}

impl JobSummary {
    /// Counts all attempts, where the row counts those that have failed.
    fn with_attempts(self) -> Self {
        Self { attempts: self.state.attempts(self.attempts), ..self }
    }
}

/// Reads a job with its attempts; `None` if there is no such job.
pub fn show(connection: &mut SqliteConnection, id: JobId) -> QueryResult<Option<JobDetails>> {
    type Lease = (String, Option<WorkerId>, Option<UnixMillis>);
    let Some(job) = jobs::table.find(id).select(columns()).get_result::<JobSummary>(connection).optional()? else {
        return Ok(None);
    };
    let (payload, owner, started_at): Lease =
        jobs::table.find(id).select((jobs::payload, jobs::lease_owner, jobs::started_at)).get_result(connection)?;
    let mut history: Vec<AttemptSummary> = job_attempts::table
        .filter(job_attempts::job_id.eq(id))
        .order(job_attempts::id)
        .select((
            job_attempts::worker,
            job_attempts::started_at,
            job_attempts::ended_at.nullable(),
            job_attempts::outcome,
            job_attempts::error,
        ))
        .load(connection)?;
    if let (Some(worker), Some(started_at)) = (owner, started_at) {
        history.push(AttemptSummary {
            worker,
            started_at,
            ended_at: None,
            outcome: AttemptOutcome::Running,
            error: None,
        });
    }
    let payload = serde_json::from_str(&payload).unwrap_or(serde_json::Value::String(payload));
    Ok(Some(JobDetails { job: job.with_attempts(), payload, history }))
}
