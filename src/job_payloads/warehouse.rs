//! The jobs of the warehouse.

use serde::{Deserialize, Serialize};

use super::WAREHOUSE;
use crate::ids::{ImagePath, OrderId, UserId};
use crate::jobs::{Kind, Task};

/// A job of the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum WarehouseTask {
    /// Store an image as an asset.
    Image {
        /// The row of `images`.
        image_id: i64,
        /// The owner of the image.
        user_id: UserId,
        /// The path below the image root.
        image_path: ImagePath,
    },
    /// Fulfil an order.
    Order {
        /// The order.
        order_id: OrderId,
        /// The customer, if the id of the customer is the id of a user.
        user_id: Option<UserId>,
        /// In milliseconds since 1970.
        placed_at: i64,
    },
}

impl Task for WarehouseTask {
    const KIND: Kind = WAREHOUSE;

    /// An order is fulfilled once, and the page of the order finds the job by this key.
    fn dedup_key(&self) -> Option<String> {
        match self {
            Self::Image { .. } => None,
            Self::Order { order_id, .. } => Some(order_id.to_string()),
        }
    }

    fn user_id(&self) -> Option<UserId> {
        match self {
            Self::Image { user_id, .. } => Some(*user_id),
            Self::Order { user_id, .. } => *user_id,
        }
    }
}
