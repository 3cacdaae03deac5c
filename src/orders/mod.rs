//! Orders: from the purchase to the webhook that reports it.
//!
//! Owns the table `orders`. Consumes `order_placed` (a doorbell for its job; other programs' messages become orders)
//! and publishes it. Never places an order twice, and never reports a purchase before the order is durable. Webhooks
//! are delivered at least once: a process that is killed between the response and the commit sends again.
//!
//! - `routes`: the HTTP side
//! - `intake`: messages of other programs
//! - `daily_limit`: the limit of orders of a customer
//! - `webhook`: the job that reports a purchase
//! - `receiver`, `signature`: the webhook's request
//! - `store`: the rows

mod daily_limit;
mod intake;
mod receiver;
mod routes;
mod signature;
mod store;
mod webhook;

use crate::bus::Bus;
use crate::db::Database;
use crate::http::Auth;
use crate::ids::{CustomerId, OrderId, TraceParent};
use crate::job_payloads::{MailKind, MailPreferences};
use crate::jobs::{QueueLimit, WakeSignal};

pub(crate) use intake::listen;
pub(crate) use receiver::Receiver;
pub(crate) use routes::{USER_ROUTES, openapi, routes};
use store::Placement;
pub(crate) use webhook::WebhookWorker;

/// The state of the routes and the intake; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) bus: Bus,
    /// Wakes the workers of orders' jobs.
    pub(crate) wake: WakeSignal,
    /// Whether purchases are reported. An order keeps the setting under which it was accepted: one that was accepted
    /// without a webhook never gets a webhook job.
    pub(crate) webhook: bool,
    /// The limit of queued webhook jobs.
    pub(crate) queue_limit: QueueLimit,
    /// The limit of orders of a customer within 24 hours; 0 for none.
    pub(crate) max_orders_per_day: u32,
    /// The mail that users get; an order keeps the setting under which it was accepted.
    pub(crate) mail: MailPreferences,
    pub(crate) auth: Auth,
}

impl State {
    /// An order with the settings of this process.
    fn placement(&self, order_id: OrderId, customer_id: CustomerId, trace: Option<TraceParent>) -> Placement {
        let mail = self.mail.contains(MailKind::OrderConfirmed);
        Placement { order_id, customer_id, webhook: self.webhook, mail, trace }
    }
}
