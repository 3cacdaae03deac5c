//! Orders: from the purchase to whoever has to be told of it.
//!
//! Owns the table `orders`. Consumes `order_placed` (a doorbell for its job; other programs' messages become orders) and
//! publishes it. Never places an order twice, and never tells of a purchase before the order is durable. What leaves the
//! system may be repeated: a process that is killed between the receiver's answer and its own note of it sends again.
//!
//! - `routes`: the HTTP side
//! - `intake`: messages of other programs
//! - `webhook`: the job that reports a purchase
//! - `receiver`, `signature`: the request that carries the report
//! - `store`: the rows

mod intake;
mod receiver;
mod routes;
mod signature;
mod store;
mod webhook;

use crate::bus::Bus;
use crate::db::Database;
use crate::ids::{CustomerId, OrderId};
use crate::job_payloads::{MailKind, MailPreferences};
use crate::jobs::{QueueLimit, WakeSignal};

pub use intake::listen;
pub use receiver::{Receiver, ReceiverError};
pub use routes::routes;
use store::Placement;
pub use webhook::WebhookWorker;

/// The description of the routes, for [`OpenApi`](crate::http::openapi::OpenApi).
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the orders' part of a process works with; a clone shares it.
#[derive(Clone)]
pub struct Orders {
    /// The database.
    pub database: Database,
    /// The Redis channels.
    pub bus: Bus,
    /// Rung when there is work for the jobs of orders.
    pub wake: WakeSignal,
    /// Whether there is a webhook. It is settled when an order is accepted: an order that came without has no such job,
    /// not even when a process with a webhook hears of it later.
    pub webhook: bool,
    /// How many purchases may wait to be reported.
    pub queue_limit: QueueLimit,
    /// What users are told by mail; settled at the same moment.
    pub mail: MailPreferences,
}

impl Orders {
    /// An order as it is accepted here.
    fn placement(&self, order_id: OrderId, customer_id: CustomerId) -> Placement {
        let mail = self.mail.contains(MailKind::OrderConfirmed);
        Placement { order_id, customer_id, webhook: self.webhook, mail }
    }
}
