//! The job that reports a purchase to the webhook receiver.

use serde::{Deserialize, Serialize};

use super::WEBHOOK;
use crate::ids::{OrderId, UserId};
use crate::jobs::{Kind, Task};

/// Reports a purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTask {
    /// The order.
    pub order_id: OrderId,
    /// The customer, if the id of the customer is the id of a user.
    pub user_id: Option<UserId>,
}

impl Task for WebhookTask {
    const KIND: Kind = WEBHOOK;

    /// A purchase is reported once, and the page of the order finds the job by this key.
    fn dedup_key(&self) -> Option<String> {
        Some(self.order_id.to_string())
    }

    fn user_id(&self) -> Option<UserId> {
        self.user_id
    }
}
