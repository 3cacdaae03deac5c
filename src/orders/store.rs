//! The rows of orders. Every function runs inside the caller's transaction.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use jiff::Timestamp;

use crate::db::schema::orders;
use crate::db::{UnixMillis, now};
use crate::ids::{CustomerId, OrderId, TraceParent};
use crate::job_payloads::{EMAIL, MailTask, WAREHOUSE, WEBHOOK, WarehouseTask, WebhookTask, user_of};
use crate::jobs::{self, JobStatus, Kind, Origin};

/// The kinds of jobs that an order may have, in the order of the API.
const KINDS: [Kind; 3] = [WEBHOOK, WAREHOUSE, EMAIL];

/// An order to accept.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    pub(super) order_id: OrderId,
    pub(super) customer_id: CustomerId,
    /// Whether the purchase is reported.
    pub(super) webhook: bool,
    /// Whether the order is confirmed by mail.
    pub(super) mail: bool,
    /// The trace context of the request.
    pub(super) trace: Option<TraceParent>,
}

/// The outcome of a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// Its row and jobs are new.
    New,
    /// The same customer has placed it before.
    AlreadyAccepted,
    /// Another customer has placed an order with this id.
    Conflict,
}

/// An order's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) customer_id: CustomerId,
    pub(super) placed_at: Timestamp,
}

/// Inserts the rows of an order and its jobs, or nothing.
pub(super) fn accept(connection: &mut SqliteConnection, placement: &Placement) -> QueryResult<Acceptance> {
    let Placement { order_id, customer_id, webhook, mail, trace } = placement;
    if let Some(known) = known(connection, order_id, customer_id)? {
        return Ok(known);
    }
    let at = now();
    let origin = Origin { now: at, trace: trace.as_ref() };
    diesel::insert_into(orders::table)
        .values((
            orders::id.eq(order_id.as_str()),
            orders::customer_id.eq(customer_id.as_str()),
            orders::placed_at.eq(at),
        ))
        .execute(connection)?;
    let user_id = user_of(customer_id);
    if *webhook {
        jobs::enqueue(connection, &WebhookTask { order_id: order_id.clone(), user_id }, origin)?;
    }
    let order = WarehouseTask::Order { order_id: order_id.clone(), user_id, placed_at: at };
    jobs::enqueue(connection, &order, origin)?;
    if *mail {
        let confirmed = MailTask::OrderConfirmed { user_id, order_id: order_id.clone(), placed_at: at };
        jobs::enqueue(connection, &confirmed, origin)?;
    }
    Ok(Acceptance::New)
}

/// The outcome for an order that already has a row; `None` if it has none.
pub(super) fn known(
    connection: &mut SqliteConnection,
    order_id: &OrderId,
    customer_id: &CustomerId,
) -> QueryResult<Option<Acceptance>> {
    let placed_by = orders::table
        .find(order_id.as_str())
        .select(orders::customer_id)
        .get_result::<String>(connection)
        .optional()?;
    Ok(placed_by.map(|placed_by| {
        if placed_by == customer_id.as_str() { Acceptance::AlreadyAccepted } else { Acceptance::Conflict }
    }))
}

pub(super) fn find(connection: &mut SqliteConnection, id: &OrderId) -> QueryResult<Option<Order>> {
    let row = orders::table
        .find(id.as_str())
        .select((orders::customer_id, orders::placed_at))
        .get_result::<(String, UnixMillis)>(connection)
        .optional()?;
    let Some((customer_id, placed_at)) = row else { return Ok(None) };
    Ok(Some(Order {
        id: id.clone(),
        customer_id: customer_id.parse().map_err(unreadable)?,
        placed_at: Timestamp::from_millisecond(placed_at).map_err(unreadable)?,
    }))
}

/// The status of an order's jobs.
pub(super) fn jobs_of(connection: &mut SqliteConnection, id: &OrderId) -> QueryResult<Vec<(Kind, JobStatus)>> {
    let mut found = Vec::new();
    for kind in KINDS {
        found.extend(jobs::by_dedup(connection, kind, id.as_str())?.map(|status| (kind, status)));
    }
    Ok(found)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> diesel::result::Error {
    diesel::result::Error::DeserializationError(Box::new(error))
}
