//! The routes of the API server.

use std::time::Duration;

use actix_web::dev::{Service, ServiceRequest};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use super::status::Subject;
use super::{LongPolls, Resources, enqueue, gallery, store, thumbnails};
use crate::http::page::page;
use crate::http::resource::{file, get, not_found, post};
use crate::http::{Auth, Problem, Query, auth};
use crate::ids::{JobId, UserId};

const MAX_TIMEOUT_S: u64 = 60;

/// What the routes work with; a clone shares it.
#[derive(Clone)]
pub struct Api {
    /// Database, channels, files, limits.
    pub resources: Resources,
    /// The held polls.
    pub long_polls: LongPolls,
    /// Who may use the API.
    pub auth: Auth,
}

/// Adds the routes.
///
/// Thumbnails need no token: their names cannot be guessed, and an `<img>` cannot send one. Nor does the page, which asks
/// for the token that its requests need.
pub fn routes(api: &Api, services: &mut web::ServiceConfig) {
    let guarded = web::scope("")
        .wrap(from_fn(auth::require))
        .service(post("/enqueue", enqueue::post))
        .service(get("/status/{user_id}", status))
        .service(
            get("/status-live/{user_id}", status_live).wrap_fn(|request, held| held.call(without_headers(request))),
        )
        .service(get("/jobs/{job_id}", job))
        .service(get("/jobs/{job_id}/live", job_live).wrap_fn(|request, held| held.call(without_headers(request))))
        .service(get("/users/{user_id}/images", gallery::get))
        .service(file("/uploads/thumbs/{tail:.*}", thumbnails::get_replaced))
        .default_service(web::to(not_found));
    services
        .app_data(web::Data::new(api.resources.clone()))
        .app_data(web::Data::new(api.long_polls.clone()))
        .app_data(web::Data::new(api.auth.clone()))
        .service(page("/", include_str!("page.html")))
        .service(file("/thumbnails/{name}", thumbnails::get))
        .service(guarded);
}

async fn status(resources: web::Data<Resources>, user: web::Path<String>) -> Result<HttpResponse, Problem> {
    let subject = Subject::User(user_id(&user)?);
    Ok(subject.answer(&subject.status(&resources.database)?))
}

async fn status_live(
    resources: web::Data<Resources>,
    long_polls: web::Data<LongPolls>,
    request: HttpRequest,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let subject = Subject::User(user_id(&user)?);
    let timeout = timeout(&request, resources.limits.long_poll_timeout)?;
    Ok(long_polls.answer(subject, timeout).await?)
}

async fn job(resources: web::Data<Resources>, job: web::Path<String>) -> Result<HttpResponse, Problem> {
    let subject = find_job(&resources, &job)?;
    Ok(subject.answer(&subject.status(&resources.database)?))
}

async fn job_live(
    resources: web::Data<Resources>,
    long_polls: web::Data<LongPolls>,
    request: HttpRequest,
    job: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let subject = find_job(&resources, &job)?;
    let timeout = timeout(&request, resources.limits.long_poll_timeout)?;
    Ok(long_polls.answer(subject, timeout).await?)
}

/// Frees the table of a request's header fields, a third of what a held poll takes.
fn without_headers(mut request: ServiceRequest) -> ServiceRequest {
    *request.headers_mut() = HeaderMap::new();
    request
}

pub(super) fn user_id(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|invalid| Problem::field("userId", &invalid))
}

fn find_job(resources: &Resources, text: &str) -> Result<Subject, Problem> {
    let job_id: JobId = text.parse().map_err(|invalid| Problem::field("jobId", &invalid))?;
    match resources.database.read_point(|connection| store::by_job(connection, job_id))? {
        Some(image) => Ok(Subject::Job(job_id, image.user_id)),
        None => Err(Problem::not_found("There is no such job.")),
    }
}

/// The query's `timeout` in seconds, or the default.
fn timeout(request: &HttpRequest, default: Duration) -> Result<Duration, Problem> {
    let seconds =
        Query::read(request)?.integer("timeout", 1..=MAX_TIMEOUT_S, "a whole number of seconds from 1 to 60")?;
    Ok(seconds.map_or(default, Duration::from_secs))
}
