//! The routes of orders.

use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::State;
use super::daily_limit::{self, TooManyOrders};
use super::store::{self, Acceptance, Order};
use crate::db::read_models::fulfilled_at;
use crate::db::{UnixMillis, timestamp};
use crate::events::OrderPlaced;
use crate::http::body::Checked;
use crate::http::limits::{self, Quota, StoredLimit};
use crate::http::openapi::responses::{BodyErrors, NotFound, TokenErrors};
use crate::http::openapi::schemas::{ProblemBody, True};
use crate::http::resource::{get, post};
use crate::http::response::uncached;
use crate::http::trace_parent::trace_parent;
use crate::http::{Caller, NoQuery, Problem, Scope, UserRoute, auth, body, path};
use crate::ids::{CustomerId, OrderId};
use crate::jobs::{JobState, JobStatus, Kind};

const TAG: &str = "Orders";

/// The routes for user tokens.
pub(crate) const USER_ROUTES: [UserRoute; 1] = [UserRoute::new(Method::POST, "/place_order", Scope::Order)];

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

/// The description of the routes.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    <Routes as utoipa::OpenApi>::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(place, order))]
struct Routes;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Order)]
struct OrderRequest {
    #[serde(default)]
    #[schema(value_type = OrderId, required = true)]
    order_id: Checked<OrderId>,
    #[serde(default)]
    #[schema(value_type = CustomerId, required = true)]
    user_id: Checked<CustomerId>,
}

#[derive(Serialize, ToSchema)]
struct Placed {
    #[schema(inline)]
    message: PlacedMessage,
    #[schema(inline)]
    success: True,
}

#[derive(Serialize, ToSchema)]
enum PlacedMessage {
    #[serde(rename = "Order Placed")]
    OrderPlaced,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OrderStatus {
    /// Omitted until the warehouse has fulfilled the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline, value_type = Fulfilment)]
    fulfilment: Option<Fulfilment>,
    jobs: Vec<OrderJob>,
    order_id: OrderId,
    #[schema(format = "date-time", example = "2026-11-24T04:05:06.789Z")]
    placed_at: String,
    user_id: CustomerId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Fulfilment {
    #[schema(format = "date-time")]
    fulfilled_at: String,
}

#[derive(Serialize, ToSchema)]
struct OrderJob {
    /// The number of attempts, with the current one, but without crashes and failures of the environment.
    #[schema(example = 0)]
    attempts: i32,
    /// The error of the last attempt; omitted once the job is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    error: Option<String>,
    #[schema(example = "webhook")]
    kind: &'static str,
    state: JobState,
}

/// Place an order
///
/// The response is sent once the order is durable. Repeating an order changes nothing.
#[utoipa::path(
    post,
    path = "/place_order",
    operation_id = "placeOrder",
    tag = TAG,
    security(("token" = [])),
    request_body = OrderRequest,
    responses(
        (status = 200, description = "Placed, now or before.", body = Placed),
        (
            status = 409,
            description = "Another user has placed an order with this id.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        BodyErrors
    )
)]
async fn place(
    _: NoQuery,
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let OrderRequest { order_id, user_id } = body::json(&request, payload).await?;
    let (order_id, customer_id) =
        body::zip_errors(("orderId", order_id.into_result()), ("userId", user_id.into_result()))?;
    caller.check_customer(&customer_id)?;
    limits::user_order(&request, &customer_id)?;
    // Held until the row is written.
    let _permit = if state.webhook { Some(state.queue_limit.acquire().await??) } else { None };
    let event = OrderPlaced { order_id: order_id.clone(), customer_id: customer_id.clone() };
    let placement = state.placement(order_id, customer_id, trace_parent(request.headers()));
    let max = state.max_orders_per_day;
    let accepted = state.database.try_write(move |connection| daily_limit::accept(connection, &placement, max));
    match accepted.await?? {
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
    Ok(HttpResponse::Ok().json(Placed { message: PlacedMessage::OrderPlaced, success: True }))
}

impl From<TooManyOrders> for Problem {
    fn from(full: TooManyOrders) -> Self {
        let TooManyOrders { max, wait } = full;
        limits::refused(StoredLimit::UserOrdersPerDay, "orders of this user", Quota::PerDay(max), wait)
    }
}

/// Get an order with its jobs
#[utoipa::path(
    get,
    path = "/orders/{orderId}",
    operation_id = "getOrder",
    tag = TAG,
    security(("token" = [])),
    params(("orderId" = OrderId, Path, example = "A-1001")),
    responses(
        (status = 200, description = "The order, its customer and the status of its jobs.", body = OrderStatus),
        (status = 404, response = NotFound),
        TokenErrors
    )
)]
async fn order(_: NoQuery, state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id: OrderId = path::parse("orderId", &id)?;
    let found = state.database.read_point(|connection| {
        let Some(order) = store::find(connection, &id)? else { return Ok(None) };
        Ok(Some((order, store::jobs_of(connection, &id)?, fulfilled_at(connection, id.as_str())?)))
    })?;
    let Some((order, jobs, fulfilled_at)) = found else {
        return Err(Problem::not_found("There is no such order."));
    };
    let status = order_status(order, jobs, fulfilled_at);
    Ok(uncached(StatusCode::OK, &status))
}

fn order_status(order: Order, jobs: Vec<(Kind, JobStatus)>, fulfilled_at: Option<UnixMillis>) -> OrderStatus {
    let job = |(kind, status): (Kind, JobStatus)| {
        let JobStatus { state, attempts, error } = status;
        OrderJob { attempts, error, kind: kind.name, state }
    };
    OrderStatus {
        fulfilment: fulfilled_at.map(|at| Fulfilment { fulfilled_at: timestamp::text(at) }),
        jobs: jobs.into_iter().map(job).collect(),
        order_id: order.id,
        placed_at: format!("{:.3}", order.placed_at),
        user_id: order.customer_id,
    }
}
