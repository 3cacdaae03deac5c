//! The routes of operators.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::dto::{
    CurrentJob, JobWithHistory, JobsParams, KIND_NAMES, ListedJob, PurgeRequest, Purged, Retried, RetryRequest, STATES,
    WrongState,
};
use crate::db::now;
use crate::http::openapi::params::JobIdParam;
use crate::http::openapi::responses::{BodyErrors, NotFound, TokenErrors};
use crate::http::resource::{get, post};
use crate::http::response::uncached;
use crate::http::{NoQuery, Problem, Query, auth, body, path};
use crate::ids::JobId;
use crate::job_payloads::kind_by_name;
use crate::jobs::JobState;
use crate::jobs::operator::{self, Filter, Intervention, JobDetails};

/// The path that all routes are below.
pub(crate) const PATH: &str = "/admin";
const PAGE: u64 = 100;
const MAX_PAGE: u64 = 1000;
const SINCE: &str = "a time such as 2026-11-24T10:00:00Z, or an age such as 2h or 7d";
const TAG: &str = "Admin";

/// Adds the routes, which need the operators' token.
pub(crate) fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(web::Data::new(state.auth.clone()))
            .app_data(web::Data::new(state))
            .service(get("/admin/jobs", list).wrap(from_fn(auth::require_admin)))
            .service(post("/admin/jobs/retry", retry_all).wrap(from_fn(auth::require_admin)))
            .service(post("/admin/jobs/purge", purge).wrap(from_fn(auth::require_admin)))
            .service(get("/admin/jobs/{job_id}", show).wrap(from_fn(auth::require_admin)))
            .service(post("/admin/jobs/{job_id}/retry", retry).wrap(from_fn(auth::require_admin)))
            .service(post("/admin/jobs/{job_id}/cancel", cancel).wrap(from_fn(auth::require_admin)));
    }
}

/// The description of the routes.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    <Routes as utoipa::OpenApi>::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(list, retry_all, purge, show, retry, cancel),
    components(schemas(JobWithHistory), responses(CurrentJob, WrongState))
)]
struct Routes;

/// List jobs, newest first
///
/// All routes below `/admin` need `auth.admin_token` if set, otherwise `auth.token`.
#[utoipa::path(
    get,
    path = "/admin/jobs",
    operation_id = "listJobs",
    tag = TAG,
    security(("token" = [])),
    params(JobsParams),
    responses(
        (status = 200, description = "A page.", body = Vec<ListedJob>),
        TokenErrors
    )
)]
async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["state", "kind", "user", "since", "limit", "before"])?;
    let limit = query.integer("limit", 1..=MAX_PAGE, "a whole number from 1 to 1000")?.unwrap_or(PAGE);
    let filter = Filter {
        state: query.parsed("state", STATES, JobState::by_name)?,
        kind: query.parsed("kind", KIND_NAMES, kind_by_name)?,
        user: query.parsed("user", "a user id", |text| text.parse().ok())?,
        since: query.parsed("since", SINCE, |text| operator::since(text, now()))?,
        before: query.parsed("before", "the last id of the previous page", |text| text.parse().ok())?,
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = state.database.read(move |connection| operator::list(connection, &filter, limit)).await?;
    Ok(uncached(StatusCode::OK, &found.into_iter().map(ListedJob::from).collect::<Vec<_>>()))
}

/// Get a job with its attempts
#[utoipa::path(
    get,
    path = "/admin/jobs/{jobId}",
    operation_id = "getJob",
    tag = TAG,
    security(("token" = [])),
    params(JobIdParam),
    responses(
        (status = 200, response = CurrentJob),
        (status = 404, response = NotFound),
        TokenErrors
    )
)]
async fn show(_: NoQuery, state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    Ok(uncached(StatusCode::OK, &JobWithHistory::from(find(&state, path::parse("jobId", &id)?)?)))
}

/// Retry a dead or cancelled job
///
/// It gets its full number of attempts again. A queued job becomes due at once.
#[utoipa::path(
    post,
    path = "/admin/jobs/{jobId}/retry",
    operation_id = "retryJob",
    tag = TAG,
    security(("token" = [])),
    params(JobIdParam),
    responses(
        (status = 200, response = CurrentJob),
        (status = 404, response = NotFound),
        (status = 409, response = WrongState),
        TokenErrors
    )
)]
async fn retry(_: NoQuery, state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (id, hooks) = (path::parse("jobId", &id)?, state.hooks.clone());
    let outcome = state.database.write(move |connection| operator::retry(connection, &hooks, id, now())).await?;
    job_response(&state, id, outcome, "tried again")
}

/// Cancel an unfinished job
///
/// The result of a running attempt is discarded; its external effects are not undone.
#[utoipa::path(
    post,
    path = "/admin/jobs/{jobId}/cancel",
    operation_id = "cancelJob",
    tag = TAG,
    security(("token" = [])),
    params(JobIdParam),
    responses(
        (status = 200, response = CurrentJob),
        (status = 404, response = NotFound),
        (status = 409, response = WrongState),
        TokenErrors
    )
)]
async fn cancel(_: NoQuery, state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id = path::parse("jobId", &id)?;
    let outcome = operator::cancel(&state.database, &state.hooks, id).await?;
    job_response(&state, id, outcome, "cancelled")
}

/// Retry all dead or cancelled jobs
#[utoipa::path(
    post,
    path = "/admin/jobs/retry",
    operation_id = "retryJobs",
    tag = TAG,
    security(("token" = [])),
    request_body = inline(RetryRequest),
    responses(
        (status = 200, description = "The number of retried jobs.", body = inline(Retried)),
        BodyErrors
    )
)]
async fn retry_all(
    _: NoQuery,
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let RetryRequest { state: retried, kind } = body::json(&request, payload).await?;
    let (retried, kind) = body::zip_errors(("state", retried.into_result()), ("kind", kind.into_result()))?;
    let filter = Filter { state: Some(retried.into()), kind, ..Filter::default() };
    let retried = operator::retry_all(&state.database, &state.hooks, filter).await?;
    Ok(HttpResponse::Ok().json(Retried { retried }))
}

/// Delete finished jobs
///
/// Deletes done, dead and cancelled jobs, but not their images and orders.
#[utoipa::path(
    post,
    path = "/admin/jobs/purge",
    operation_id = "purgeJobs",
    tag = TAG,
    security(("token" = [])),
    request_body = inline(PurgeRequest),
    responses(
        (status = 200, description = "The number of deleted jobs.", body = inline(Purged)),
        BodyErrors
    )
)]
async fn purge(
    _: NoQuery,
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let PurgeRequest { older_than } = body::json(&request, payload).await?;
    let age = older_than.into_result().map_err(|invalid| Problem::field("olderThan", &invalid))?;
    let purged = operator::purge(&state.database, age.before(now())).await?;
    Ok(HttpResponse::Ok().json(Purged { purged }))
}

fn find(state: &State, id: JobId) -> Result<JobDetails, Problem> {
    let found = state.database.read_point(|connection| operator::show(connection, id))?;
    found.ok_or_else(|| Problem::not_found("There is no such job."))
}

/// The changed job, or why it was not changed.
fn job_response(state: &State, id: JobId, outcome: Intervention, action: &str) -> Result<HttpResponse, Problem> {
    match outcome {
        Intervention::Done => Ok(uncached(StatusCode::OK, &JobWithHistory::from(find(state, id)?))),
        Intervention::Unknown => Err(Problem::not_found("There is no such job.")),
        Intervention::Refused(current) => {
            let detail = format!("The job is {}; it cannot be {action}.", current.name());
            Err(Problem::new(StatusCode::CONFLICT, detail))
        }
    }
}
