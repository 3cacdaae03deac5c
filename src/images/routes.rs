//! The routes of the API server.

use std::time::Duration;

use actix_web::dev::{Service, ServiceRequest};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use super::openapi::{FinalJobStatus, FinalStatus, PendingJobStatus, TAG, TimeoutParams};
use super::status::{JobStatus, Pending, StatusBody, Subject, UnknownUser};
use super::{State, enqueue, gallery, store, thumbnails};
use crate::http::draining::Draining;
use crate::http::openapi::params::{EtagParams, JobIdParam, UserIdParam};
use crate::http::openapi::responses::{NotFound, TokenErrors};
use crate::http::page::page;
use crate::http::resource::{get, not_found, post};
use crate::http::{Caller, NoQuery, Problem, Query, Scope, UserRoute, auth, limits, path};
use crate::ids::{JobId, UserId};

const MAX_TIMEOUT_S: u64 = 60;

/// The routes for user tokens.
pub(crate) const USER_ROUTES: [UserRoute; 6] = [
    UserRoute::new(Method::POST, "/enqueue", Scope::Upload),
    UserRoute::new(Method::GET, "/status/{user_id}", Scope::Status),
    UserRoute::new(Method::GET, "/status-live/{user_id}", Scope::Status),
    UserRoute::new(Method::GET, "/jobs/{job_id}", Scope::Status),
    UserRoute::new(Method::GET, "/jobs/{job_id}/live", Scope::Status),
    UserRoute::new(Method::GET, "/users/{user_id}/images", Scope::Status),
];

/// Adds the routes.
///
/// Thumbnails need no token: their names cannot be guessed, and an `<img>` cannot send one. The page needs none either;
/// it prompts for the token of its requests.
pub(crate) fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        let other_paths = web::scope("").wrap(from_fn(auth::require)).default_service(web::to(not_found));
        services
            .app_data(web::Data::new(state.auth.clone()))
            .service(page("/", upload_page(state.limits.max_upload_bytes)))
            .app_data(web::Data::new(state))
            .service(get("/thumbnails/{name}", thumbnails::get))
            .service(post("/enqueue", enqueue::post).wrap(from_fn(auth::require)))
            .service(get("/status/{user_id}", status).wrap(from_fn(auth::require)))
            .service(
                get("/status-live/{user_id}", status_live)
                    .wrap_fn(|request, held| held.call(without_headers(request)))
                    .wrap(from_fn(auth::require)),
            )
            .service(get("/jobs/{job_id}", job).wrap(from_fn(auth::require)))
            .service(
                get("/jobs/{job_id}/live", job_live)
                    .wrap_fn(|request, held| held.call(without_headers(request)))
                    .wrap(from_fn(auth::require)),
            )
            .service(get("/users/{user_id}/images", gallery::get).wrap(from_fn(auth::require)))
            .service(get("/uploads/thumbs/{tail:.*}", thumbnails::get_replaced).wrap(from_fn(auth::require)))
            // Without a token, nobody learns which other paths there are.
            .service(other_paths);
    }
}

/// The page knows the limit, so that it need not send a file to have it refused.
fn upload_page(max_upload_bytes: u64) -> String {
    include_str!("page.html").replace("{max_upload_bytes}", &max_upload_bytes.to_string())
}

/// Get the status of a user's thumbnail
///
/// Done with the newest finished thumbnail; failed refers to the newest upload of a user without a thumbnail.
#[utoipa::path(
    get,
    path = "/status/{userId}",
    operation_id = "getUserStatus",
    tag = TAG,
    security(("token" = [])),
    params(UserIdParam, EtagParams),
    responses(
        (
            status = 200,
            description = "Done, pending or failed.",
            body = StatusBody,
            headers(("ETag" = String, description = "For `If-None-Match`."))
        ),
        (status = 304, description = "The client has it."),
        (status = 404, description = "This user has no images.", body = UnknownUser),
        TokenErrors
    )
)]
pub(super) async fn status(
    _: NoQuery,
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let subject = own(&caller, &user)?;
    subject.revalidated(&request, subject.status(&state.database)?, &state.links)
}

/// Wait for a user's thumbnail
#[utoipa::path(
    get,
    path = "/status-live/{userId}",
    operation_id = "waitForUserStatus",
    tag = TAG,
    security(("token" = [])),
    params(UserIdParam, TimeoutParams),
    responses(
        (status = 200, description = "Done or failed.", body = FinalStatus),
        (status = 408, description = "Not finished yet; send the request again.", body = Pending),
        TokenErrors
    )
)]
pub(super) async fn status_live(
    state: web::Data<State>,
    caller: Caller,
    draining: web::Data<Draining>,
    request: HttpRequest,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let subject = own(&caller, &user)?;
    let _guard = limits::poll(&request)?;
    let timeout = timeout(&request, state.limits.long_poll_timeout)?;
    Ok(state.long_polls.hold(subject, timeout, draining.hold()).await?)
}

/// Get job status
///
/// Refers to this upload, even if the user has an older thumbnail.
#[utoipa::path(
    get,
    path = "/jobs/{jobId}",
    operation_id = "getJobStatus",
    tag = TAG,
    security(("token" = [])),
    params(JobIdParam, EtagParams),
    responses(
        (
            status = 200,
            description = "Done, pending or failed.",
            body = JobStatus,
            headers(("ETag" = String, description = "For `If-None-Match`."))
        ),
        (status = 304, description = "The client has it."),
        (status = 404, response = NotFound),
        TokenErrors
    )
)]
pub(super) async fn job(
    _: NoQuery,
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    job: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let subject = find_job(&state, &caller, &job)?;
    subject.revalidated(&request, subject.status(&state.database)?, &state.links)
}

/// Wait for a job
#[utoipa::path(
    get,
    path = "/jobs/{jobId}/live",
    operation_id = "waitForJobStatus",
    tag = TAG,
    security(("token" = [])),
    params(JobIdParam, TimeoutParams),
    responses(
        (status = 200, description = "Done or failed.", body = FinalJobStatus),
        (status = 404, response = NotFound),
        (status = 408, description = "Not finished yet; send the request again.", body = PendingJobStatus),
        TokenErrors
    )
)]
pub(super) async fn job_live(
    state: web::Data<State>,
    caller: Caller,
    draining: web::Data<Draining>,
    request: HttpRequest,
    job: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let subject = find_job(&state, &caller, &job)?;
    let _guard = limits::poll(&request)?;
    let timeout = timeout(&request, state.limits.long_poll_timeout)?;
    Ok(state.long_polls.hold(subject, timeout, draining.hold()).await?)
}

/// Frees the header fields of a request, a third of the memory of a long poll.
fn without_headers(mut request: ServiceRequest) -> ServiceRequest {
    *request.headers_mut() = HeaderMap::new();
    request
}

fn own(caller: &Caller, text: &str) -> Result<Subject, Problem> {
    let user: UserId = path::parse("userId", text)?;
    caller.check_user(user)?;
    Ok(Subject::User(user))
}

/// The job, unless it is of another user than the caller, who must not learn that it exists.
fn find_job(state: &State, caller: &Caller, text: &str) -> Result<Subject, Problem> {
    let job_id: JobId = path::parse("jobId", text)?;
    let found = state.database.read_point(|connection| store::by_job(connection, job_id))?;
    match found.filter(|image| caller.may_see(image.user_id)) {
        Some(image) => Ok(Subject::Job(job_id, image.user_id)),
        None => Err(Problem::not_found("There is no such job.")),
    }
}

/// The query's `timeout` in seconds, or the default. HEAD is not held.
fn timeout(request: &HttpRequest, default: Duration) -> Result<Duration, Problem> {
    let query = Query::read(request, &["timeout"])?;
    let seconds = query.integer("timeout", 1..=MAX_TIMEOUT_S, "a whole number of seconds from 1 to 60")?;
    let is_held = request.method() != Method::HEAD;
    Ok(if is_held { seconds.map_or(default, Duration::from_secs) } else { Duration::ZERO })
}
