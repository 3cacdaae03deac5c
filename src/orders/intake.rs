//! Messages on `order_placed`: a doorbell for the jobs of orders, and other programs' way to place an order.

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::Orders;
use super::store::{self, Accepted};
use crate::bus::Signal;
use crate::db::DbError;
use crate::events::OrderPlaced;

/// How many messages are taken in side by side: their writes share the flushes of the disk.
const AT_ONCE: usize = 64;

/// Hears the channel until the shutdown: places the orders of other programs, and rings for every sign of work.
///
/// Our own messages come back too, and several processes may hear the same message; one order comes of it.
pub async fn listen(orders: Orders, shutdown: CancellationToken) {
    let placed = orders.bus.subscribe::<OrderPlaced>();
    let signals = stream::unfold(placed, async |mut placed| Some((placed.next().await?, placed)));
    let orders = &orders;
    signals
        .take_until(shutdown.cancelled())
        .for_each_concurrent(AT_ONCE, async |signal| {
            if let Signal::Event(message) = signal {
                take_in(orders, message).await;
            }
            orders.wake.ring();
        })
        .await;
    shutdown.cancelled().await;
}

async fn take_in(orders: &Orders, message: OrderPlaced) {
    let order_id = message.order_id.clone();
    match accept(orders, message).await {
        Ok(Accepted::New) => tracing::info!(order.id = %order_id, "took in another program's order"),
        Ok(Accepted::Before) => {}
        Ok(Accepted::Taken) => {
            tracing::warn!(order.id = %order_id, "another program's order has the id of another customer's; dropped");
        }
        Err(error) => tracing::error!(order.id = %order_id, error = %error, "another program's order is lost"),
    }
}

/// Reads before it writes, since most messages tell of orders that have their rows: those that we placed ourselves.
async fn accept(orders: &Orders, OrderPlaced { order_id, customer_id }: OrderPlaced) -> Result<Accepted, DbError> {
    match orders.database.read_point(|connection| store::known(connection, &order_id, &customer_id))? {
        Some(known) => Ok(known),
        None => {
            let placement = orders.placement(order_id, customer_id);
            orders.database.write(move |connection| store::accept(connection, &placement)).await
        }
    }
}
