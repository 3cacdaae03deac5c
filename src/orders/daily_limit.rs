//! The limit of orders that a customer places within 24 hours. Orders of other programs' messages count, but are never
//! refused: nobody would learn of the refusal.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::store::{self, Acceptance, Placement};
use crate::db::schema::orders;
use crate::db::{UnixMillis, now};
use crate::ids::CustomerId;

const WINDOW_MS: UnixMillis = 24 * 60 * 60 * 1000;

/// A new order beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the customer has placed {max} orders within 24 hours")]
pub(super) struct TooManyOrders {
    pub(super) max: u32,
    /// Until the next order is accepted.
    pub(super) wait: Duration,
}

/// Inserts the rows of an order and its jobs, or nothing if it is new and beyond the limit. 0 is no limit.
pub(super) fn accept(
    connection: &mut SqliteConnection,
    placement: &Placement,
    max: u32,
) -> QueryResult<Result<Acceptance, TooManyOrders>> {
    let Placement { order_id, customer_id, .. } = placement;
    if store::known(connection, order_id, customer_id)?.is_none()
        && let Err(full) = check_new(connection, customer_id, max)?
    {
        return Ok(Err(full));
    }
    store::accept(connection, placement).map(Ok)
}

fn check_new(
    connection: &mut SqliteConnection,
    customer_id: &CustomerId,
    max: u32,
) -> QueryResult<Result<(), TooManyOrders>> {
    let Some(skipped) = max.checked_sub(1) else { return Ok(Ok(())) };
    let now = now();
    // The oldest of the newest `max` orders: another one is accepted once it leaves the window.
    let oldest = orders::table
        .filter(orders::customer_id.eq(customer_id.as_str()).and(orders::placed_at.gt(now - WINDOW_MS)))
        .order(orders::placed_at.desc())
        .offset(skipped.into())
        .select(orders::placed_at)
        .first::<UnixMillis>(connection)
        .optional()?;
    let wait = oldest.map_or(0, |oldest| oldest + WINDOW_MS - now);
    match u64::try_from(wait) {
        Ok(wait) if wait > 0 => Ok(Err(TooManyOrders { max, wait: Duration::from_millis(wait) })),
        _ => Ok(Ok(())),
    }
}
