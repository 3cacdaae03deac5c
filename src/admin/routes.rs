//! The routes of operators.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::db::now;
use crate::http::resource::{get, post};
use crate::http::{Auth, Problem, Query, auth, body};
use crate::ids::{Invalid, JobId};
use crate::job_payloads::kind_by_name;
use crate::jobs::JobState;
use crate::jobs::operator::{self, Age, Filter, Intervention, JobDetails};

const PAGE: u64 = 100;
const MAX_PAGE: u64 = 1000;
const STATES: &str = "queued, running, done, dead or cancelled";
const KIND_NAMES: &str = "thumbnail, webhook, warehouse or email";
const SINCE: &str = "a time such as 2026-11-24T10:00:00Z, or an age such as 2h or 7d";

/// Adds the routes, which need the token of `auth`.
pub fn routes(admin: &Admin, auth: &Auth, services: &mut web::ServiceConfig) {
    let guarded = |resource: Resource| resource.app_data(web::Data::new(auth.clone())).wrap(from_fn(auth::require));
    services
        .app_data(web::Data::new(admin.clone()))
        .service(guarded(get("/admin/jobs", list)))
        .service(guarded(post("/admin/jobs/retry", retry_all)))
        .service(guarded(post("/admin/jobs/purge", purge)))
        .service(guarded(get("/admin/jobs/{job_id}", show)))
        .service(guarded(post("/admin/jobs/{job_id}/retry", retry)))
        .service(guarded(post("/admin/jobs/{job_id}/cancel", cancel)));
}

async fn list(admin: web::Data<Admin>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request)?;
    let limit = query.integer("limit", 1..=MAX_PAGE, "a whole number from 1 to 1000")?.unwrap_or(PAGE);
    let filter = Filter {
        state: query.parsed("state", STATES, JobState::by_name)?,
        kind: query.parsed("kind", KIND_NAMES, kind_by_name)?,
        user: query.parsed("user", "a user's number", |text| text.parse().ok())?,
        since: query.parsed("since", SINCE, |text| operator::since(text, now()))?,
        before: query.parsed("before", "the id that the page before ended with", |text| text.parse().ok())?,
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = admin.database.read(move |connection| operator::list(connection, &filter, limit)).await?;
    Ok(fresh(&found))
}

async fn show(admin: web::Data<Admin>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    Ok(fresh(&shown(&admin, job_id(&id)?)?))
}

async fn retry(admin: web::Data<Admin>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (id, hooks) = (job_id(&id)?, admin.hooks.clone());
    let came = admin.database.write(move |connection| operator::retry(connection, &hooks, id, now())).await?;
    answer(&admin, id, came, "tried again")
}

async fn cancel(admin: web::Data<Admin>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id = job_id(&id)?;
    let came = operator::cancel(&admin.database, &admin.hooks, id).await?;
    answer(&admin, id, came, "cancelled")
}

async fn retry_all(
    admin: web::Data<Admin>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let fields = body::json_object(payload).await?;
    let ended =
        |name: &str| JobState::by_name(name).filter(|state| matches!(state, JobState::Dead | JobState::Cancelled));
    let state = named(&fields, "state", "dead or cancelled", ended);
    let kind = match fields.get("kind") {
        None => Ok(None),
        Some(_) => named(&fields, "kind", KIND_NAMES, kind_by_name).map(Some),
    };
    let (state, kind) = body::zip_errors(("state", state), ("kind", kind))?;
    let filter = Filter { state: Some(state), kind, ..Filter::default() };
    let retried = operator::retry_all(&admin.database, &admin.hooks, filter).await?;
    Ok(HttpResponse::Ok().json(json!({ "retried": retried })))
}

async fn purge(admin: web::Data<Admin>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let fields = body::json_object(payload).await?;
    let age = named(&fields, "olderThan", Age::EXPECTED, |text| text.parse::<Age>().ok());
    let age = age.map_err(|invalid| Problem::field("olderThan", &invalid))?;
    let purged = operator::purge(&admin.database, age.before(now())).await?;
    Ok(HttpResponse::Ok().json(json!({ "purged": purged })))
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|invalid| Problem::field("jobId", &invalid))
}

fn shown(admin: &Admin, id: JobId) -> Result<JobDetails, Problem> {
    let found = admin.database.read_point(|connection| operator::show(connection, id))?;
    found.ok_or_else(|| Problem::not_found("There is no such job."))
}

/// The job as it is now, or why it was left as it was.
fn answer(admin: &Admin, id: JobId, came: Intervention, what: &str) -> Result<HttpResponse, Problem> {
    match came {
        Intervention::Done => Ok(fresh(&shown(admin, id)?)),
        Intervention::Unknown => Err(Problem::not_found("There is no such job.")),
        Intervention::Refused(state) => {
            let detail = format!("The job is {}; it cannot be {what}.", state.name());
            Err(Problem::new(StatusCode::CONFLICT, detail))
        }
    }
}

fn named<T>(
    fields: &Map<String, Value>,
    name: &str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Invalid> {
    let value = fields.get(name);
    value.and_then(Value::as_str).and_then(parse).ok_or_else(|| Invalid::json(value, expected))
}

fn fresh(body: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body)
}
