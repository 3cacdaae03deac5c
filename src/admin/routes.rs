//! The routes of operators.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::State;
use crate::db::now;
use crate::http::resource::{get, post};
use crate::http::{Problem, Query, auth, body};
use crate::ids::{Invalid, JobId};
use crate::job_payloads::kind_by_name;
use crate::jobs::JobState;
use crate::jobs::operator::{self, Age, Filter, Intervention, JobDetails};

const PAGE: u64 = 100;
const MAX_PAGE: u64 = 1000;
const STATES: &str = "queued, running, done, dead or cancelled";
const KIND_NAMES: &str = "thumbnail, webhook, warehouse or email";
const SINCE: &str = "a time such as 2026-11-24T10:00:00Z, or an age such as 2h or 7d";

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

async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request)?;
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
    Ok(fresh(&found))
}

async fn show(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    Ok(fresh(&find(&state, job_id(&id)?)?))
}

async fn retry(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (id, hooks) = (job_id(&id)?, state.hooks.clone());
    let outcome = state.database.write(move |connection| operator::retry(connection, &hooks, id, now())).await?;
    job_response(&state, id, outcome, "tried again")
}

async fn cancel(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id = job_id(&id)?;
    let outcome = operator::cancel(&state.database, &state.hooks, id).await?;
    job_response(&state, id, outcome, "cancelled")
}

async fn retry_all(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let fields = body::json_object(payload).await?;
    let ended =
        |name: &str| JobState::by_name(name).filter(|state| matches!(state, JobState::Dead | JobState::Cancelled));
    let wanted = named(&fields, "state", "dead or cancelled", ended);
    let kind = match fields.get("kind") {
        None => Ok(None),
        Some(_) => named(&fields, "kind", KIND_NAMES, kind_by_name).map(Some),
    };
    let (wanted, kind) = body::zip_errors(("state", wanted), ("kind", kind))?;
    let filter = Filter { state: Some(wanted), kind, ..Filter::default() };
    let retried = operator::retry_all(&state.database, &state.hooks, filter).await?;
    Ok(HttpResponse::Ok().json(json!({ "retried": retried })))
}

async fn purge(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let fields = body::json_object(payload).await?;
    let age = named(&fields, "olderThan", Age::EXPECTED, |text| text.parse::<Age>().ok());
    let age = age.map_err(|invalid| Problem::field("olderThan", &invalid))?;
    let purged = operator::purge(&state.database, age.before(now())).await?;
    Ok(HttpResponse::Ok().json(json!({ "purged": purged })))
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|invalid| Problem::field("jobId", &invalid))
}

fn find(state: &State, id: JobId) -> Result<JobDetails, Problem> {
    let found = state.database.read_point(|connection| operator::show(connection, id))?;
    found.ok_or_else(|| Problem::not_found("There is no such job."))
}

/// The changed job, or why it was not changed.
fn job_response(state: &State, id: JobId, outcome: Intervention, action: &str) -> Result<HttpResponse, Problem> {
    match outcome {
        Intervention::Done => Ok(fresh(&find(state, id)?)),
        Intervention::Unknown => Err(Problem::not_found("There is no such job.")),
        Intervention::Refused(current) => {
            let detail = format!("The job is {}; it cannot be {action}.", current.name());
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
