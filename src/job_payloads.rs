//! The kinds of jobs and their payloads: one type per kind, shared by the modules that enqueue jobs and those that run
//! them.
//!
//! Owns the list of kinds and the JSON in `jobs.payload`. Consumes and publishes nothing. Never says how a job is done.
//! A payload contains everything that the worker needs, so that no module reads another one's rows. It may stay in the
//! database for weeks, so every change must read what earlier versions wrote.

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{CustomerId, ImagePath, OrderId, UserId};
use crate::jobs::{DedupScope, Kind, Task};

/// Makes the thumbnails of an image.
pub const THUMBNAIL: Kind = Kind { name: "thumbnail", dedup: DedupScope::WhileActive, optional: false };
/// Reports a purchase to the webhook receiver.
pub const WEBHOOK: Kind = Kind { name: "webhook", dedup: DedupScope::Forever, optional: false };
/// Stores an image as an asset, or fulfils an order.
pub const WAREHOUSE: Kind = Kind { name: "warehouse", dedup: DedupScope::Forever, optional: true };
/// Sends a mail.
pub const EMAIL: Kind = Kind { name: "email", dedup: DedupScope::Forever, optional: true };

/// Every kind of job. To add one, add it here and its hooks to the job registry of `cli`.
pub const KINDS: [Kind; 4] = [THUMBNAIL, WEBHOOK, WAREHOUSE, EMAIL];

/// Finds a kind by its name.
pub(crate) fn kind_by_name(name: &str) -> Option<Kind> {
    KINDS.into_iter().find(|kind| kind.name == name)
}

/// Makes the thumbnails of an image. The image is found by the id of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThumbnailTask {
    /// The path of the original.
    pub image_path: ImagePath,
    /// The mails that the user gets, decided when the image was accepted. Payloads of earlier versions lack it, and
    /// later versions may know more kinds; both stand for every kind.
    #[serde(default = "MailPreferences::all", deserialize_with = "preferences_or_all")]
    pub mail: MailPreferences,
    /// The owner of the image.
    pub user_id: UserId,
}

/// Reports a purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTask {
    /// The order.
    pub order_id: OrderId,
    /// The customer, if the id of the customer is the id of a user.
    pub user_id: Option<UserId>,
}

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

/// A mail: its kind and the values of its template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum MailTask {
    /// An image was accepted.
    UploadReceived {
        /// The owner of the image.
        user_id: UserId,
        /// The name of the user's file.
        picture: String,
    },
    /// The thumbnails of an image are ready.
    ThumbnailReady {
        /// The owner of the image.
        user_id: UserId,
        /// The name of the user's file.
        picture: String,
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
        picture: String,
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
}

/// The kinds of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// [`MailTask::UploadReceived`].
    UploadReceived,
    /// [`MailTask::ThumbnailReady`].
    ThumbnailReady,
    /// [`MailTask::ThumbnailFailed`].
    ThumbnailFailed,
    /// [`MailTask::OrderConfirmed`].
    OrderConfirmed,
}

impl MailKind {
    const ALL: [Self; 4] = [Self::UploadReceived, Self::ThumbnailReady, Self::ThumbnailFailed, Self::OrderConfirmed];

    /// The name in payloads, in the `mails` table and in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UploadReceived => "upload_received",
            Self::ThumbnailReady => "thumbnail_ready",
            Self::ThumbnailFailed => "thumbnail_failed",
            Self::OrderConfirmed => "order_confirmed",
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The kinds of mail that users get. Decided when an image or an order is accepted, for all mails that follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailPreferences(Vec<MailKind>);

impl MailPreferences {
    /// Describes valid input of [`MailPreferences::parse`] in errors.
    pub(crate) const EXPECTED: &str = "\"all\", \"none\", or a comma-separated list of upload_received, \
                                       thumbnail_ready, thumbnail_failed and order_confirmed";

    /// Every kind.
    pub(crate) fn all() -> Self {
        Self(MailKind::ALL.to_vec())
    }

    /// Parses a list of names, `all` or `none`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::all()),
            "none" => Some(Self(Vec::new())),
            names => names.split(',').map(|name| MailKind::by_name(name.trim())).collect::<Option<_>>().map(Self),
        }
    }

    /// Whether users get mails of this kind.
    pub(crate) fn contains(&self, kind: MailKind) -> bool {
        self.0.contains(&kind)
    }
}

fn preferences_or_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MailPreferences, D::Error> {
    let stored = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(stored).unwrap_or_else(|_| MailPreferences::all()))
}

impl Task for ThumbnailTask {
    const KIND: Kind = THUMBNAIL;

    fn user_id(&self) -> Option<UserId> {
        Some(self.user_id)
    }
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

impl Task for MailTask {
    const KIND: Kind = EMAIL;

    /// An order is confirmed once, and the page of the order finds the job by this key. The mail about a failure can be
    /// withdrawn.
    fn dedup_key(&self) -> Option<String> {
        match self {
            Self::OrderConfirmed { order_id, .. } => Some(order_id.to_string()),
            Self::ThumbnailFailed { image_id, .. } => image_id.map(Self::thumbnail_failed_key),
            Self::UploadReceived { .. } | Self::ThumbnailReady { .. } => None,
        }
    }

    /// `None` for an order of a customer who is not a user.
    fn user_id(&self) -> Option<UserId> {
        match self {
            Self::UploadReceived { user_id, .. }
            | Self::ThumbnailReady { user_id, .. }
            | Self::ThumbnailFailed { user_id, .. } => Some(*user_id),
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
        }
    }

    /// The dedup key of the mail about the failure of an image.
    pub(crate) fn thumbnail_failed_key(image_id: i64) -> String {
        format!("image {image_id} failed")
    }
}

/// The user with the id of this customer, if it is the id of a user.
pub(crate) fn user_of(customer: &CustomerId) -> Option<UserId> {
    customer.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    /// Checks that a task is stored as these bytes, reads back from them, and has the user of `userId`.
    fn assert_stored<T: Task + PartialEq + std::fmt::Debug>(task: &T, payload: &str) {
        assert_eq!(serde_json::to_string(task).unwrap(), payload);
        let read: T = serde_json::from_str(payload).unwrap();
        assert_eq!(&read, task);
        let json: Value = serde_json::from_str(payload).unwrap();
        assert_eq!(json["userId"].as_i64(), task.user_id().map(UserId::get), "{payload}");
    }

    #[test]
    fn payloads_are_byte_for_byte_those_in_existing_databases() {
        let image_path = ImagePath::new("photos/ä \"1\".jpg").unwrap();
        let order_id: OrderId = "o-1".parse().unwrap();
        let mail = MailPreferences::parse("upload_received,thumbnail_failed").unwrap();
        assert_stored(
            &ThumbnailTask { image_path: image_path.clone(), mail, user_id: user(7) },
            r#"{"imagePath":"photos/ä \"1\".jpg","mail":["upload_received","thumbnail_failed"],"userId":7}"#,
        );
        assert_stored(
            &WebhookTask { order_id: order_id.clone(), user_id: Some(user(7)) },
            r#"{"orderId":"o-1","userId":7}"#,
        );
        assert_stored(&WebhookTask { order_id: order_id.clone(), user_id: None }, r#"{"orderId":"o-1","userId":null}"#);
        assert_stored(
            &WarehouseTask::Image { image_id: 1, user_id: user(7), image_path },
            r#"{"task":"image","imageId":1,"userId":7,"imagePath":"photos/ä \"1\".jpg"}"#,
        );
        assert_stored(
            &WarehouseTask::Order { order_id: order_id.clone(), user_id: None, placed_at: 5 },
            r#"{"task":"order","orderId":"o-1","userId":null,"placedAt":5}"#,
        );
        let picture = "ü.jpg".to_owned();
        assert_stored(
            &MailTask::UploadReceived { user_id: user(7), picture: picture.clone() },
            r#"{"notice":"upload_received","userId":7,"picture":"ü.jpg"}"#,
        );
        let (thumbnail, variants) = ("0f.jpg".to_owned(), vec!["1f.png".to_owned(), "0f.jpg".to_owned()]);
        assert_stored(
            &MailTask::ThumbnailReady { user_id: user(7), picture: picture.clone(), thumbnail, variants },
            r#"{"notice":"thumbnail_ready","userId":7,"picture":"ü.jpg","thumbnail":"0f.jpg","variants":["1f.png","0f.jpg"]}"#,
        );
        assert_stored(
            &MailTask::ThumbnailFailed { user_id: user(7), picture, message: "no".to_owned(), image_id: None },
            r#"{"notice":"thumbnail_failed","userId":7,"picture":"ü.jpg","message":"no"}"#,
        );
        assert_stored(
            &MailTask::OrderConfirmed { user_id: Some(user(7)), order_id, placed_at: 5 },
            r#"{"notice":"order_confirmed","userId":7,"orderId":"o-1","placedAt":5}"#,
        );
    }

    #[test]
    fn payloads_of_earlier_and_later_versions_are_read() {
        for payload in [
            r#"{"imagePath":"a.jpg","userId":7}"#,
            r#"{"imagePath":"a.jpg","mail":["birthday"],"userId":7}"#,
            r#"{"imagePath":"a.jpg","mail":"all","userId":7}"#,
        ] {
            let task: ThumbnailTask = serde_json::from_str(payload).unwrap();
            assert_eq!(task.mail, MailPreferences::all(), "{payload}");
        }
        let task: WebhookTask = serde_json::from_str(r#"{"orderId":"o-1"}"#).unwrap();
        assert_eq!(task.user_id, None);
        let ready = r#"{"notice":"thumbnail_ready","userId":7,"picture":"a.jpg","thumbnail":"0f.jpg"}"#;
        assert!(serde_json::from_str::<MailTask>(ready).is_ok());
    }

    #[test]
    fn a_payload_with_an_invalid_value_is_rejected() {
        for bad in [
            r#"{"task":"image","imageId":1,"userId":0,"imagePath":"a.jpg"}"#,
            r#"{"task":"image","imageId":1,"userId":1,"imagePath":"../a.jpg"}"#,
            r#"{"task":"order","orderId":"","userId":null,"placedAt":0}"#,
            r#"{"task":"nothing"}"#,
            "null",
        ] {
            assert!(serde_json::from_str::<WarehouseTask>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<WebhookTask>(r#"{"orderId":""}"#).is_err());
    }

    #[test]
    fn a_failed_image_has_one_mail_that_can_be_withdrawn() {
        let (picture, message) = ("a.jpg".to_owned(), "no".to_owned());
        let failed = MailTask::ThumbnailFailed { user_id: user(7), picture, message, image_id: Some(3) };
        assert_eq!(failed.dedup_key().as_deref(), Some("image 3 failed"));
    }

    #[test]
    fn kinds_have_distinct_names() {
        for kind in KINDS {
            assert_eq!(kind_by_name(kind.name), Some(kind));
        }
        assert_eq!(kind_by_name("cat"), None);
    }

    #[test]
    fn a_customer_with_a_numeric_id_is_that_user() {
        let user = |customer: &str| user_of(&customer.parse().unwrap()).map(UserId::get);
        assert_eq!(user("7"), Some(7));
        for other in ["u-7", "7.0", "-7", "0", "9007199254740992"] {
            assert_eq!(user(other), None, "{other}");
        }
    }

    #[test]
    fn mail_preferences_are_parsed() {
        for kind in MailKind::ALL {
            assert_eq!(MailKind::by_name(kind.name()), Some(kind));
        }
        assert_eq!(MailKind::by_name("birthday"), None);
        let some = MailPreferences::parse("thumbnail_ready, order_confirmed").unwrap();
        assert!(some.contains(MailKind::ThumbnailReady) && !some.contains(MailKind::ThumbnailFailed));
        assert!(MailKind::ALL.iter().all(|kind| MailPreferences::all().contains(*kind)));
        assert!(MailKind::ALL.iter().all(|kind| !MailPreferences::parse("none").unwrap().contains(*kind)));
        for wrong in ["", "birthday", "thumbnail_ready,", "all,none"] {
            assert_eq!(MailPreferences::parse(wrong), None, "{wrong}");
        }
    }
}
