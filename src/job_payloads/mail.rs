//! The job that sends a mail.

use serde::{Deserialize, Serialize};

use super::{EMAIL, MailKind};
use crate::ids::{OrderId, UserId};
use crate::jobs::{Kind, Task};

/// A mail: its kind and the values of its template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum MailTask {
    /// An image was accepted.
    UploadReceived {
        /// The owner of the image.
        user_id: UserId,
        /// The name of the user's file.
        #[serde(rename = "picture")]
        file_name: String,
    },
    /// The thumbnails of an image are ready.
    ThumbnailReady {
        /// The owner of the image.
        user_id: UserId,
        /// The name of the user's file.
        #[serde(rename = "picture")]
        file_name: String,
        /// The file name of the first thumbnail.
        thumbnail: String,
        /// The file names of all thumbnails, the largest first. Empty in payloads of earlier versions.
        #[serde(default)]
        variants: Vec<String>,
    },
    /// An image will have no thumbnail.
    ThumbnailFailed {
        /// The owner of the image.
        user_id: UserId,
        /// The name of the user's file.
        #[serde(rename = "picture")]
        file_name: String,
        /// The cause, for the user.
        message: String,
        /// The row of `images`, for the dedup key. Not stored.
        #[serde(skip)]
        image_id: Option<i64>,
    },
    /// An order was accepted.
    OrderConfirmed {
        /// The customer, if the id of the customer is the id of a user.
        user_id: Option<UserId>,
        /// The order.
        order_id: OrderId,
        /// In milliseconds since 1970.
        placed_at: i64,
    },
    /// A user token has set an address, which the link of this mail confirms.
    ConfirmAddress {
        /// The user.
        user_id: UserId,
        /// The row of `email_confirmations`. The payload has neither the address nor the link, since operators see it.
        confirmation_id: i64,
        /// The URL that the link begins with, without a slash at the end.
        site: String,
        /// The end of the link's validity, in milliseconds since 1970.
        expires: i64,
    },
}

impl Task for MailTask {
    const KIND: Kind = EMAIL;

    /// An order is confirmed once, and the page of the order finds the job by this key. The mail about a failure can be
    /// withdrawn.
    fn dedup_key(&self) -> Option<String> {
        match self {
            Self::OrderConfirmed { order_id, .. } => Some(order_id.to_string()),
            Self::ThumbnailFailed { image_id, .. } => image_id.map(Self::thumbnail_failed_key),
            Self::UploadReceived { .. } | Self::ThumbnailReady { .. } | Self::ConfirmAddress { .. } => None,
        }
    }

    /// `None` for an order of a customer who is not a user.
    fn user_id(&self) -> Option<UserId> {
        match self {
            Self::UploadReceived { user_id, .. }
            | Self::ThumbnailReady { user_id, .. }
            | Self::ThumbnailFailed { user_id, .. }
            | Self::ConfirmAddress { user_id, .. } => Some(*user_id),
            Self::OrderConfirmed { user_id, .. } => *user_id,
        }
    }
}

impl MailTask {
    /// The kind of the mail.
    pub(crate) fn mail_kind(&self) -> MailKind {
        match self {
            Self::UploadReceived { .. } => MailKind::UploadReceived,
            Self::ThumbnailReady { .. } => MailKind::ThumbnailReady,
            Self::ThumbnailFailed { .. } => MailKind::ThumbnailFailed,
            Self::OrderConfirmed { .. } => MailKind::OrderConfirmed,
            Self::ConfirmAddress { .. } => MailKind::ConfirmAddress,
        }
    }

    /// The dedup key of the mail about the failure of an image.
    pub(crate) fn thumbnail_failed_key(image_id: i64) -> String {
        format!("image {image_id} failed")
    }
}
