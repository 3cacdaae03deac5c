//! The webhook job: reports a purchase to the receiver.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::receiver::{DeliveryError, Message, Receiver};
use super::store::{self, Order};
use crate::db::{Database, UnixMillis};
use crate::ids::OrderId;
use crate::job_payloads::WebhookTask;
use crate::jobs::{Failure, Handler, Job, Slot};

const NOT_REPORTED: &str = "The purchase could not be reported.";

/// The worker of webhook jobs.
pub(crate) struct WebhookWorker {
    database: Database,
    receiver: Receiver,
}

impl WebhookWorker {
    pub(crate) fn new(database: Database, receiver: Receiver) -> Self {
        Self { database, receiver }
    }
}

/// The outcome of a webhook job.
#[derive(Debug)]
pub(crate) enum Report {
    Delivered(OrderId),
    GivenUp(OrderId),
}

impl Handler for WebhookWorker {
    type Task = WebhookTask;
    type Effect = OrderId;
    type Event = Report;

    async fn run(&self, _: &Job, WebhookTask { order_id, .. }: WebhookTask, _slot: Slot) -> Result<OrderId, Failure> {
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
            Report::Delivered(order_id) => tracing::info!(order.id = %order_id, "purchase reported"),
            Report::GivenUp(order_id) => {
                tracing::error!(order.id = %order_id, "purchase not reported; the webhook job is dead");
            }
        }
    }
}

fn failure(error: DeliveryError) -> Failure {
    match error.is_final() {
        true => Failure::fail(error, NOT_REPORTED),
        false => Failure::retry(error, NOT_REPORTED),
    }
}

/// The body, with the names and the order of fields of the replaced service.
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

/// The message about an order. It depends on the order alone, so that every attempt sends the same.
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
    // The id of an order may contain any character, that of a message may not.
    let id = format!("order_{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(order.id.as_str())));
    Ok(Message { id, body: serde_json::to_vec(&purchase)? })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_message_has_the_form_of_the_replaced_service() {
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
