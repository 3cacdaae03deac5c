//! Jobs as an operator looks at them.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

use super::{KINDS, Kind};
use crate::db::schema::{job_attempts, jobs};
use crate::db::{UnixMillis, timestamp};
use crate::ids::{JobId, UserId};

/// The states of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for a worker, or for its next attempt.
    Queued,
    /// A worker holds it.
    Running,
    /// It has come to its end.
    Done,
    /// It was given up.
    Dead,
    /// An operator took it back.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Dead, Self::Cancelled];

    /// The name in the `state` column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state only.
    pub state: Option<JobState>,
    /// Of this kind only.
    pub kind: Option<Kind>,
    /// Of this user only.
    pub user: Option<UserId>,
    /// Made at this time or later.
    pub since: Option<UnixMillis>,
    /// Made before this job: the last one of the page before.
    pub before: Option<JobId>,
}

/// A job as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its id.
    pub id: String,
    /// Its kind's name.
    pub kind: String,
    /// Its state's name.
    pub state: String,
    /// Failed attempts so far.
    pub attempts: i32,
    /// Workers that died while they ran it.
    pub crashes: i32,
    /// What went wrong last; `None` once it is done.
    pub error: Option<String>,
    /// What is to be known of it although it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whose it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// When it was made.
    #[serde(serialize_with = "timestamp::serialize")]
    pub created_at: UnixMillis,
    /// When it may run, or might have run.
    #[serde(serialize_with = "timestamp::serialize")]
    pub run_at: UnixMillis,
    /// When it came to its end.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "timestamp::serialize_optional")]
    pub finished_at: Option<UnixMillis>,
}

/// An attempt as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable)]
#[serde(rename_all = "camelCase")]
pub struct AttemptSummary {
    /// The worker that made it.
    pub worker: String,
    /// When it began.
    #[serde(serialize_with = "timestamp::serialize")]
    pub started_at: UnixMillis,
    /// When it ended; `None` while it goes on.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "timestamp::serialize_optional")]
    pub ended_at: Option<UnixMillis>,
    /// `done`, `failed`, `crashed`, `expired`, `cancelled`, or `running`.
    pub outcome: String,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A job with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDetails {
    /// As it is listed.
    #[serde(flatten)]
    pub job: JobSummary,
    /// JSON, of the kind's own form.
    pub payload: serde_json::Value,
    /// Every attempt, the first one first. Hand-backs before an attempt began are none.
    pub history: Vec<AttemptSummary>,
}

type Owner = SqlLiteral<Nullable<BigInt>>;

/// Every payload that knows whose job it is says so under this name.
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

/// Reads at most `limit` jobs, the newest first. Without a kind it reads them all: ids sort by the time they were made.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &mut SqliteConnection, filter: &Filter, limit: i64) -> QueryResult<Vec<JobSummary>> {
    let mut query = jobs::table.select(columns()).order(jobs::id.desc()).limit(limit).into_boxed();
    if let Some(state) = filter.state {
        // The few that were given up have an index of their own, which SQLite takes where it reads the state in the query.
        query = match state {
            JobState::Dead => query.filter(sql::<Bool>("state = 'dead'")),
            JobState::Cancelled => query.filter(sql::<Bool>("state = 'cancelled'")),
            JobState::Queued | JobState::Running | JobState::Done => query.filter(jobs::state.eq(state.name())),
        };
    }
    match (filter.kind, filter.state) {
        (Some(kind), _) => query = query.filter(jobs::kind.eq(kind.name)),
        // Every kind by name: so what is left to do is found by its index, however much is done.
        (None, Some(JobState::Queued | JobState::Running)) => {
            query = query.filter(jobs::kind.eq_any(KINDS.map(|kind| kind.name)));
        }
        (None, _) => {}
    }
    if let Some(user) = filter.user {
        query = query.filter(owner().eq(user.get()));
    }
    if let Some(since) = filter.since {
        // An id says when it was made, so that nothing older is read.
        let first = JobId::first_at(since).to_string();
        query = query.filter(jobs::id.ge(first)).filter(jobs::created_at.ge(since));
    }
    if let Some(before) = filter.before {
        query = query.filter(jobs::id.lt(before.to_string()));
    }
    query.load(connection)
}

/// Reads a job with its attempts; `None` where there is no such job.
///
/// # Errors
/// When a query fails.
pub fn show(connection: &mut SqliteConnection, id: JobId) -> QueryResult<Option<JobDetails>> {
    type Current = (String, Option<String>, Option<UnixMillis>);
    let Some(job) = jobs::table.find(id.to_string()).select(columns()).first::<JobSummary>(connection).optional()?
    else {
        return Ok(None);
    };
    let (payload, owner, started_at): Current = jobs::table
        .find(id.to_string())
        .select((jobs::payload, jobs::lease_owner, jobs::started_at))
        .first(connection)?;
    let mut history: Vec<AttemptSummary> = job_attempts::table
        .filter(job_attempts::job_id.eq(id.to_string()))
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
        history.push(AttemptSummary { worker, started_at, ended_at: None, outcome: "running".to_owned(), error: None });
    }
    let payload = serde_json::from_str(&payload).unwrap_or(serde_json::Value::String(payload));
    Ok(Some(JobDetails { job, payload, history }))
}
