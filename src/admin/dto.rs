//! The request and response types of the routes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToResponse, ToSchema};

use crate::db::{UnixMillis, timestamp};
use crate::http::body::{Checked, FromJson};
use crate::http::openapi::schemas::{AnyObject, ProblemBody};
use crate::ids::{Invalid, JobId, UserId};
use crate::job_payloads::{KINDS, kind_by_name};
use crate::jobs::operator::{Age, AttemptSummary, JobDetails, JobSummary};
use crate::jobs::{AttemptOutcome, JobState, Kind, WorkerId};

pub(super) const STATES: &str = "queued, running, done, dead or cancelled";
pub(super) const KIND_NAMES: &str = "thumbnail, webhook, warehouse or email";

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the handler parses into the filter of the job engine")]
pub(super) struct JobsParams {
    #[param(required = false)]
    state: JobState,
    #[param(required = false)]
    kind: JobKind,
    /// Only jobs for this user.
    #[param(required = false)]
    user: UserId,
    /// Only jobs created since then: a time such as 2026-11-24T10:00:00Z, or an age such as 2h or 7d.
    #[param(required = false, min_length = 1)]
    since: String,
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: u64,
    /// The last id of the previous page.
    #[param(required = false)]
    before: JobId,
}

/// The name of a kind.
pub(super) struct JobKind;

impl PartialSchema for JobKind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(KINDS.map(|kind| kind.name))).into()
    }
}

impl ToSchema for JobKind {}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryRequest {
    #[serde(default)]
    #[schema(value_type = RetriedState, inline, required = true)]
    pub(super) state: Checked<RetriedState>,
    #[serde(default)]
    #[schema(value_type = JobKind)]
    pub(super) kind: Checked<Option<Kind>>,
}

/// The states from which jobs can be retried in bulk.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum RetriedState {
    Dead,
    Cancelled,
}

impl From<RetriedState> for JobState {
    fn from(state: RetriedState) -> Self {
        match state {
            RetriedState::Dead => Self::Dead,
            RetriedState::Cancelled => Self::Cancelled,
        }
    }
}

impl FromJson for RetriedState {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value.and_then(Value::as_str) {
            Some("dead") => Ok(Self::Dead),
            Some("cancelled") => Ok(Self::Cancelled),
            _ => Err(Invalid::json(value, "dead or cancelled")),
        }
    }
}

impl FromJson for Option<Kind> {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        let Some(json) = value else { return Ok(None) };
        let kind = json.as_str().and_then(kind_by_name);
        kind.map(Some).ok_or_else(|| Invalid::json(value, KIND_NAMES))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PurgeRequest {
    /// The minimum age of the jobs.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 1, example = "7d")]
    pub(super) older_than: Checked<Age>,
}

impl FromJson for Age {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        let age = value.and_then(Value::as_str).and_then(|text| text.parse().ok());
        age.ok_or_else(|| Invalid::json(value, Self::EXPECTED))
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Retried {
    /// The number of jobs.
    pub(super) retried: usize,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Purged {
    /// The number of jobs.
    pub(super) purged: usize,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedJob {
    id: JobId,
    #[schema(value_type = JobKind)]
    kind: String,
    state: JobState,
    /// The number of attempts, with the current one, but without crashes and failures of the environment.
    attempts: i32,
    /// The number of workers that died while they ran the job.
    crashes: i32,
    /// The last error.
    #[schema(required = true)]
    error: Option<String>,
    /// A note on a job that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    note: Option<String>,
    /// The user whom the job is for, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, minimum = 1)]
    user_id: Option<i64>,
    #[serde(serialize_with = "timestamp::serialize")]
    #[schema(value_type = String, format = "date-time")]
    created_at: UnixMillis,
    /// The due time.
    #[serde(serialize_with = "timestamp::serialize")]
    #[schema(value_type = String, format = "date-time")]
    run_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "timestamp::serialize_optional")]
    #[schema(value_type = String, format = "date-time")]
    finished_at: Option<UnixMillis>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobWithHistory {
    #[serde(flatten)]
    job: ListedJob,
    #[schema(value_type = AnyObject, inline)]
    payload: Value,
    /// All attempts, oldest first.
    history: Vec<JobAttempt>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct JobAttempt {
    /// The id of the worker.
    #[schema(value_type = String)]
    worker: WorkerId,
    #[serde(serialize_with = "timestamp::serialize")]
    #[schema(value_type = String, format = "date-time")]
    started_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "timestamp::serialize_optional")]
    #[schema(value_type = String, format = "date-time")]
    ended_at: Option<UnixMillis>,
    #[schema(inline)]
    outcome: AttemptOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    error: Option<String>,
}

/// The current state of the job.
#[derive(ToResponse)]
#[response(content_type = "application/json")]
#[allow(dead_code, reason = "exists for the API description")]
pub(super) struct CurrentJob(JobWithHistory);

/// The state of the job does not permit this.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
#[allow(dead_code, reason = "exists for the API description")]
pub(super) struct WrongState(ProblemBody);

impl From<JobSummary> for ListedJob {
    fn from(job: JobSummary) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            state: job.state,
            attempts: job.attempts,
            crashes: job.crashes,
            error: job.error,
            note: job.note,
            user_id: job.user_id,
            created_at: job.created_at,
            run_at: job.run_at,
            finished_at: job.finished_at,
        }
    }
}

impl From<AttemptSummary> for JobAttempt {
    fn from(attempt: AttemptSummary) -> Self {
        let AttemptSummary { worker, started_at, ended_at, outcome, error } = attempt;
        Self { worker, started_at, ended_at, outcome, error }
    }
}

impl From<JobDetails> for JobWithHistory {
    fn from(details: JobDetails) -> Self {
        let JobDetails { job, payload, history } = details;
        Self { job: job.into(), payload, history: history.into_iter().map(JobAttempt::from).collect() }
    }
}
