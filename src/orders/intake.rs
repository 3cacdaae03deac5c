//! Messages on `order_placed`: a doorbell for the jobs of orders, and other programs' way to place an order.
//!
//! Only game servers record orders: they know whether purchases are reported.

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;

use super::State;
use super::store::{self, Accepted, Placement};
use crate::bus::{self, Heard, Recorder};
use crate::db::DbError;
use crate::events::OrderPlaced;
use crate::jobs::{Permit, QueueFull};

/// How many messages share one write.
const BATCH: usize = 128;

/// Hears the channel until the shutdown: permits the orders of other programs, and rings for every sign of work.
///
/// Our own messages come back too, and several processes may hear the same message; one order comes of it.
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
    type Obstacle = Obstacle;

    fn wants(_: &OrderPlaced) -> bool {
        true
    }

    async fn record(&mut self, waiting: &mut VecDeque<Heard<OrderPlaced>>) -> Result<(), Obstacle> {
        let unknown = self.remove_known(waiting).await?;
        if unknown > 0 {
            self.record_first(unknown, waiting).await?;
        }
        self.state.wake.notify();
        Ok(())
    }
}

impl OrderRecorder {
    /// Removes those of the first messages whose orders have their rows, and returns how many are left. Most messages
    /// are of such orders: those that we placed ourselves.
    async fn remove_known(&self, waiting: &mut VecDeque<Heard<OrderPlaced>>) -> Result<usize, DbError> {
        let asked: Vec<OrderPlaced> = waiting.iter().take(BATCH).map(|heard| heard.event.clone()).collect();
        let count = asked.len();
        let known: Vec<Option<Accepted>> = self
            .state
            .database
            .read_soon(move |connection| {
                let find = |OrderPlaced { order_id, customer_id }: &OrderPlaced| {
                    store::known(connection, order_id, customer_id)
                };
                asked.iter().map(find).collect()
            })
            .await?;
        let mut unknown = Vec::new();
        for (heard, known) in waiting.drain(..count).zip(known) {
            match known {
                Some(accepted) => report(&heard.event, accepted),
                None => unknown.push(heard),
            }
        }
        let left = unknown.len();
        unknown.into_iter().rev().for_each(|heard| waiting.push_front(heard));
        Ok(left)
    }

    /// Records the first messages, at most `count`: as many as the limit of orders allows.
    async fn record_first(&self, count: usize, waiting: &mut VecDeque<Heard<OrderPlaced>>) -> Result<(), Obstacle> {
        // Held until the rows are written.
        let permits = self.acquire(count).await?;
        let count = if self.state.webhook { permits.len() } else { count };
        let placements: Vec<Placement> = waiting
            .iter()
            .take(count)
            .map(|heard| heard.event.clone())
            .map(|OrderPlaced { order_id, customer_id }| self.state.placement(order_id, customer_id))
            .collect();
        let accepted: Vec<Accepted> = self
            .state
            .database
            .write(move |connection| placements.iter().map(|placement| store::accept(connection, placement)).collect())
            .await?;
        for (heard, accepted) in waiting.drain(..accepted.len()).zip(accepted) {
            report(&heard.event, accepted);
        }
        Ok(())
    }

    /// Takes permits for new webhook jobs, at least one; none where there is no webhook.
    async fn acquire(&self, count: usize) -> Result<Vec<Permit>, Obstacle> {
        let mut permits = Vec::new();
        while self.state.webhook && permits.len() < count {
            match self.state.queue_limit.acquire().await? {
                Ok(permit) => permits.push(permit),
                Err(full) if permits.is_empty() => return Err(full.into()),
                Err(_) => break,
            }
        }
        Ok(permits)
    }
}

fn report(OrderPlaced { order_id, .. }: &OrderPlaced, accepted: Accepted) {
    match accepted {
        Accepted::New => tracing::info!(order.id = %order_id, "recorded another program's order"),
        Accepted::AlreadyAccepted => {}
        Accepted::Conflict => {
            tracing::warn!(order.id = %order_id, "another program's order has the id of another customer's; dropped");
        }
    }
}
