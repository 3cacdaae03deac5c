//! Messages on `order_placed`: a doorbell for the jobs of orders, and other programs' way to place an order.
//!
//! Only game servers record orders: their configuration decides whether purchases are reported.

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;

use super::State;
use super::store::{self, Acceptance, Placement};
use crate::bus::{self, Received, Recorder};
use crate::db::DbError;
use crate::events::OrderPlaced;
use crate::jobs::QueueFull;

/// The maximum number of messages per write.
const BATCH: usize = 128;

/// Consumes the channel until the shutdown: places the orders of other programs, and wakes workers on every signal.
///
/// The process also receives its own messages, and several processes may receive the same message; the order is placed
/// once.
pub(crate) async fn listen(state: State, shutdown: CancellationToken) {
    let (subscription, wake) = (state.bus.subscribe(), state.wake.clone());
    bus::record(subscription, OrderRecorder { state }, move || wake.notify(), shutdown).await;
}

/// Why orders cannot be recorded now.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
}

struct OrderRecorder {
    state: State,
}

impl Recorder for OrderRecorder {
    type Event = OrderPlaced;
    type Error = Obstacle;

    fn accepts(_: &OrderPlaced) -> bool {
        true
    }

    async fn record(&mut self, waiting: &mut VecDeque<Received<OrderPlaced>>) -> Result<(), Obstacle> {
        let others = self.remove_recorded(waiting).await?;
        if others > 0 {
            self.record_first(others, waiting).await?;
        }
        self.state.wake.notify();
        Ok(())
    }
}

impl OrderRecorder {
    /// Removes those of the first messages whose orders have rows, and returns the number of the others. Most messages
    /// have rows: they are our own.
    async fn remove_recorded(&self, waiting: &mut VecDeque<Received<OrderPlaced>>) -> Result<usize, DbError> {
        let events: Vec<OrderPlaced> = waiting.iter().take(BATCH).map(|received| received.event.clone()).collect();
        let recorded: Vec<Option<Acceptance>> = self
            .state
            .database
            .read_soon(move |connection| {
                let find = |OrderPlaced { order_id, customer_id }: &OrderPlaced| {
                    store::known(connection, order_id, customer_id)
                };
                events.iter().map(find).collect()
            })
            .await?;
        Ok(bus::remove_recorded(waiting, recorded, |event, accepted| report(&event, accepted)))
    }

    /// Records up to `count` of the first messages, within the queue limit.
    async fn record_first(&self, count: usize, waiting: &mut VecDeque<Received<OrderPlaced>>) -> Result<(), Obstacle> {
        // Held until the rows are written.
        let permits = match self.state.webhook {
            true => Some(self.state.queue_limit.acquire_up_to(count).await??),
            false => None,
        };
        let count = permits.as_ref().map_or(count, Vec::len);
        let placements: Vec<Placement> = waiting
            .iter()
            .take(count)
            .map(|received| received.event.clone())
            .map(|OrderPlaced { order_id, customer_id }| self.state.placement(order_id, customer_id, None))
            .collect();
        let accepted: Vec<Acceptance> = self
            .state
            .database
            .write(move |connection| placements.iter().map(|placement| store::accept(connection, placement)).collect())
            .await?;
        for (received, accepted) in waiting.drain(..accepted.len()).zip(accepted) {
            report(&received.event, accepted);
        }
        Ok(())
    }
}

fn report(OrderPlaced { order_id, .. }: &OrderPlaced, accepted: Acceptance) {
    match accepted {
        Acceptance::New => tracing::info!(order.id = %order_id, "recorded another program's order"),
        Acceptance::AlreadyAccepted => {}
        Acceptance::Conflict => {
            tracing::warn!(order.id = %order_id, "dropped another program's order: its id belongs to another customer");
        }
    }
}
