//! The routes of the API server.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use super::status::Subject;
use super::{LongPolls, Resources, enqueue, store, thumbnails};
use crate::http::{Auth, Problem, auth};
use crate::ids::{Invalid, JobId, UserId};

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
/// Thumbnails need no token: their names cannot be guessed, and an `<img>` cannot send one.
pub fn routes(api: &Api, services: &mut web::ServiceConfig) {
    services
        .app_data(web::Data::new(api.resources.clone()))
        .app_data(web::Data::new(api.long_polls.clone()))
        .app_data(web::Data::new(api.auth.clone()))
        .service(
            web::resource("/thumbnails/{name}")
                .route(web::get().to(thumbnails::get))
                .route(web::head().to(thumbnails::get))
                .default_service(web::to(get_only)),
        )
        .service(
            web::resource("/uploads/thumbs/{tail:.*}")
                .wrap(from_fn(auth::require))
                .route(web::get().to(thumbnails::get_replaced))
                .route(web::head().to(thumbnails::get_replaced))
                .default_service(web::to(get_only)),
        )
        .service(
            web::resource("/enqueue")
                .wrap(from_fn(auth::require))
                .route(web::post().to(enqueue::post))
                .default_service(web::to(post_only)),
        )
        .service(
            web::resource("/status/{user_id}")
                .wrap(from_fn(auth::require))
                .route(web::get().to(status))
                .default_service(web::to(get_alone)),
        )
        .service(
            web::resource("/status-live/{user_id}")
                .wrap(from_fn(auth::require))
                .route(web::get().to(status_live))
                .default_service(web::to(get_alone)),
        )
        .service(
            web::resource("/jobs/{job_id}")
                .wrap(from_fn(auth::require))
                .route(web::get().to(job))
                .default_service(web::to(get_alone)),
        )
        .service(
            web::resource("/jobs/{job_id}/live")
                .wrap(from_fn(auth::require))
                .route(web::get().to(job_live))
                .default_service(web::to(get_alone)),
        );
}

async fn get_only() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("GET, HEAD"))
}

async fn get_alone() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("GET"))
}

async fn post_only() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("POST"))
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

fn user_id(text: &str) -> Result<UserId, Problem> {
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
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("The query cannot be read: {error}.")))?;
    let Some((_, text)) = query.iter().find(|(name, _)| name == "timeout") else { return Ok(default) };
    match text.parse() {
        Ok(seconds @ 1..=MAX_TIMEOUT_S) => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::field("timeout", &Invalid::text(text, "a whole number of seconds from 1 to 60"))),
    }
}
