//! The routes of orders.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::State;
use super::store::{self, Acceptance, Order};
use crate::db::read_models::fulfilled_at;
use crate::db::{UnixMillis, timestamp};
use crate::events::OrderPlaced;
use crate::http::resource::{get, post};
use crate::http::trace::trace_parent;
use crate::http::{Problem, auth, body};
use crate::ids::{CustomerId, OrderId};
use crate::jobs::{JobStatus, Kind};

/// Adds the routes.
pub(crate) fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(web::Data::new(state.auth.clone()))
            .app_data(web::Data::new(state))
            .service(post("/place_order", place).wrap(from_fn(auth::require)))
            .service(get("/orders/{order_id}", order).wrap(from_fn(auth::require)));
    }
}

async fn place(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let (order_id, customer_id) = parse(&body::json_object(payload).await?)?;
    // Held until the row is written.
    let _permit = if state.webhook { Some(state.queue_limit.acquire().await??) } else { None };
    let event = OrderPlaced { order_id: order_id.clone(), customer_id: customer_id.clone() };
    let placement = state.placement(order_id, customer_id, trace_parent(request.headers()));
    let accepted = state.database.try_write(move |connection| store::accept(connection, &placement)).await?;
    match accepted {
        Acceptance::New => {
            state.wake.notify();
            state.bus.publish(&event);
        }
        Acceptance::AlreadyAccepted => {}
        Acceptance::Conflict => {
            let detail = "orderId: another userId has placed this order; every order needs an orderId of its own.";
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "success": true, "message": "Order Placed" })))
}

fn parse(fields: &Map<String, Value>) -> Result<(OrderId, CustomerId), Problem> {
    let order_id = OrderId::from_json(fields.get("orderId"));
    let customer_id = CustomerId::from_json(fields.get("userId"));
    body::zip_errors(("orderId", order_id), ("userId", customer_id))
}

async fn order(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id: OrderId = id.parse().map_err(|invalid| Problem::field("orderId", &invalid))?;
    let found = state.database.read_point(|connection| {
        let Some(order) = store::find(connection, &id)? else { return Ok(None) };
        Ok(Some((order, store::jobs_of(connection, &id)?, fulfilled_at(connection, id.as_str())?)))
    })?;
    match found {
        Some((order, jobs, fulfilled_at)) => Ok(order_response(&order, jobs, fulfilled_at)),
        None => Err(Problem::not_found("There is no such order.")),
    }
}

fn order_response(order: &Order, jobs: Vec<(Kind, JobStatus)>, fulfilled_at: Option<UnixMillis>) -> HttpResponse {
    let jobs: Vec<Value> = jobs.into_iter().map(|(kind, standing)| job(kind, standing)).collect();
    let mut body = json!({
        "orderId": order.id,
        "userId": order.customer_id,
        "placedAt": format!("{:.3}", order.placed_at),
        "jobs": jobs,
    });
    if let Some(at) = fulfilled_at {
        body["fulfilment"] = json!({ "fulfilledAt": timestamp::text(at) });
    }
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body)
}

fn job(kind: Kind, JobStatus { state, attempts, error }: JobStatus) -> Value {
    let mut job = json!({ "kind": kind.name, "state": state, "attempts": attempts });
    if let Some(error) = error {
        job["error"] = json!(error);
    }
    job
}
