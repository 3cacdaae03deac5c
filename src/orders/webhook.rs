//! The webhook job: report the purchase to its receiver.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::receiver::{Message, Receiver, Undelivered};
use super::store::{self, Order};
use crate::db::{Database, UnixMillis};
use crate::ids::OrderId;
use crate::job_payloads::WebhookTask;
use crate::jobs::{Failure, Handler, Job};

const NOT_REPORTED: &str = "The purchase could not be reported.";

/// Reports purchases.
pub(crate) struct WebhookWorker {
    database: Database,
    receiver: Receiver,
}

impl WebhookWorker {
    /// A worker that reports to this receiver.
    pub(crate) fn new(database: Database, receiver: Receiver) -> Self {
        Self { database, receiver }
    }
}

/// How the report of a purchase ended.
#[derive(Debug)]
pub(crate) enum Report {
    /// The receiver has it.
    Delivered(OrderId),
    /// It was given up.
    GivenUp(OrderId),
}

impl Handler for WebhookWorker {
    type Task = WebhookTask;
    type Effect = OrderId;
    type Event = Report;

    async fn run(&self, _: &Job, WebhookTask { order_id, .. }: WebhookTask) -> Result<OrderId, Failure> {
        let order = self
            .database
            .read_point(|connection| store::find(connection, &order_id))
            .map_err(|error| Failure::database(&error, NOT_REPORTED))?
            .ok_or_else(|| Failure::fail("the job's order is gone", NOT_REPORTED))?;
        let message = message(&order).map_err(|error| Failure::fail(error, NOT_REPORTED))?;
        self.receiver.deliver(&message).await.map_err(failure)?;
        Ok(order_id)
    }

    fn apply(_: &mut SqliteConnection, _: &Job, order_id: OrderId, _: UnixMillis) -> QueryResult<Report> {
        Ok(Report::Delivered(order_id))
    }

    fn on_dead(_: &mut SqliteConnection, job: &Job, _: &str, _: UnixMillis) -> QueryResult<Option<Report>> {
        Ok(job.task().ok().map(|WebhookTask { order_id, .. }| Report::GivenUp(order_id)))
    }

    fn publish(&self, report: Report) {
        match report {
            Report::Delivered(order_id) => tracing::info!(order.id = %order_id, "the purchase was reported"),
            Report::GivenUp(order_id) => {
                tracing::error!(order.id = %order_id, "the purchase was not reported; its webhook is given up");
            }
        }
    }
}

fn failure(undelivered: Undelivered) -> Failure {
    match undelivered.is_final() {
        true => Failure::fail(undelivered, NOT_REPORTED),
        false => Failure::retry(undelivered, NOT_REPORTED),
    }
}

/// The body, in the order of fields and with the names that receivers know.
#[derive(Serialize)]
struct Purchase<'a> {
    event: &'static str,
    #[serde(rename = "timeStamp")]
    time_stamp: String,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    platform: &'static str,
}

/// What is sent of an order: nothing but the order goes into it, so that every attempt says the same.
fn message(order: &Order) -> serde_json::Result<Message> {
    let purchase = Purchase {
        event: "PURCHASE_COMPLETED",
        time_stamp: format!("{:.3}", order.placed_at),
        metadata: Metadata {
            order_id: order.id.as_str(),
            customer_id: order.customer_id.as_str(),
            platform: "customer-backend",
        },
    };
    // An order's id may be any text, a message's may not.
    let id = format!("order_{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(order.id.as_str())));
    Ok(Message { id, body: serde_json::to_vec(&purchase)? })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_message_is_what_receivers_of_the_old_service_know() {
        let order = Order {
            id: "o-\"1\"".parse().unwrap(),
            customer_id: "7".parse().unwrap(),
            placed_at: Timestamp::from_millisecond(1_793_440_800_120).unwrap(),
        };
        let message = message(&order).unwrap();
        let body = r#"{"event":"PURCHASE_COMPLETED","timeStamp":"2026-10-31T10:00:00.120Z","metadata":{"order_id":"o-\"1\"","customer_id":"7","platform":"customer-backend"}}"#;
        assert_eq!(String::from_utf8(message.body).unwrap(), body);
        assert!(message.id.starts_with("order_") && message.id.len() == 49, "{}", message.id);
        assert!(message.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{}", message.id);
    }
}
