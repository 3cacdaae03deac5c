//! What jobs say to workers that are of another domain than who makes them: one type per kind, its payload in the
//! database.
//!
//! Owns the payloads' forms. Consumes and publishes nothing, and never says how the work is done. A payload says all that
//! the worker needs to begin, so that no domain reads the rows of another; it may lie in the database for weeks, so a
//! change has to read what stands there.

use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, ImagePath, OrderId, UserId};

/// A job for the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum WarehouseTask {
    /// Take in this image.
    Image {
        /// The row of `images`.
        image_id: i64,
        /// Whose it is.
        user_id: UserId,
        /// Where it lies below the image root.
        image_path: ImagePath,
    },
    /// Take on this order.
    Order {
        /// Which order.
        order_id: OrderId,
        /// The user who placed it, where the customer's id is one's.
        user_id: Option<UserId>,
        /// When, in milliseconds since 1970.
        placed_at: i64,
    },
}

/// A job for the email worker: the occasion, and what the mail tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum MailTask {
    /// A picture was accepted.
    UploadReceived {
        /// Whose it is.
        user_id: UserId,
        /// What its owner calls it.
        picture: String,
    },
    /// A picture's thumbnail is there.
    ThumbnailReady {
        /// Whose it is.
        user_id: UserId,
        /// What its owner calls the picture.
        picture: String,
        /// The file name of the thumbnail that the picture is shown by.
        thumbnail: String,
        /// The file names of all its thumbnails, the largest first; none in payloads of earlier versions.
        #[serde(default)]
        variants: Vec<String>,
    },
    /// A picture will have no thumbnail.
    ThumbnailFailed {
        /// Whose it is.
        user_id: UserId,
        /// What its owner calls the picture.
        picture: String,
        /// What is wrong with it, for its owner.
        message: String,
    },
    /// An order was accepted.
    OrderConfirmed {
        /// The user who placed it, where the customer's id is one's.
        user_id: Option<UserId>,
        /// Which order.
        order_id: OrderId,
        /// When, in milliseconds since 1970.
        placed_at: i64,
    },
}

/// The occasions of mails.
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
    /// Every occasion.
    pub const ALL: [Self; 4] =
        [Self::UploadReceived, Self::ThumbnailReady, Self::ThumbnailFailed, Self::OrderConfirmed];

    /// The name in payloads and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadReceived => "upload_received",
            Self::ThumbnailReady => "thumbnail_ready",
            Self::ThumbnailFailed => "thumbnail_failed",
            Self::OrderConfirmed => "order_confirmed",
        }
    }

    /// The occasion of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The occasions on which users are told: settled by who accepts a picture or an order, for all that comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailPreferences(Vec<MailKind>);

impl MailPreferences {
    /// What [`MailPreferences::parse`] reads.
    pub const EXPECTED: &str = "\"all\", \"none\", or names out of upload_received, thumbnail_ready, thumbnail_failed, \
                                order_confirmed with commas between them";

    /// Every occasion.
    pub fn all() -> Self {
        Self(MailKind::ALL.to_vec())
    }

    /// Reads a list of names, `all` or `none`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::all()),
            "none" => Some(Self(Vec::new())),
            names => names.split(',').map(|name| MailKind::by_name(name.trim())).collect::<Option<_>>().map(Self),
        }
    }

    /// Whether users are told on this occasion.
    pub fn contains(&self, kind: MailKind) -> bool {
        self.0.contains(&kind)
    }
}

impl WarehouseTask {
    /// The dedup key: an order is taken on once, and its page shows the job by it.
    pub fn dedup(&self) -> Option<String> {
        match self {
            Self::Image { .. } => None,
            Self::Order { order_id, .. } => Some(order_id.to_string()),
        }
    }

    /// The payload.
    pub fn payload(&self) -> String {
        written(self)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn parse(payload: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(payload)
    }
}

impl MailTask {
    /// The occasion.
    pub fn mail_kind(&self) -> MailKind {
        match self {
            Self::UploadReceived { .. } => MailKind::UploadReceived,
            Self::ThumbnailReady { .. } => MailKind::ThumbnailReady,
            Self::ThumbnailFailed { .. } => MailKind::ThumbnailFailed,
            Self::OrderConfirmed { .. } => MailKind::OrderConfirmed,
        }
    }

    /// Who gets the mail; `None` for an order of a customer who is no user.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::UploadReceived { user_id, .. }
            | Self::ThumbnailReady { user_id, .. }
            | Self::ThumbnailFailed { user_id, .. } => Some(*user_id),
            Self::OrderConfirmed { user_id, .. } => *user_id,
        }
    }

    /// The dedup key: an order is confirmed once, and its page shows the mail's job by it.
    pub fn dedup(&self) -> Option<String> {
        match self {
            Self::OrderConfirmed { order_id, .. } => Some(order_id.to_string()),
            _ => None,
        }
    }

    /// The payload.
    pub fn payload(&self) -> String {
        written(self)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn parse(payload: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(payload)
    }
}

/// The user that a customer's id names: the one of that number, if it reads as a number.
pub fn user_of(customer: &CustomerId) -> Option<UserId> {
    customer.as_str().parse().ok()
}

fn written(task: &impl Serialize) -> String {
    // Numbers, texts and maps with text keys: there is nothing in a task that JSON could not hold.
    serde_json::to_string(task).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back_as_what_was_written_and_names_its_user() {
        let user_id = UserId::new(7).unwrap();
        let image =
            WarehouseTask::Image { image_id: 1, user_id, image_path: ImagePath::new("photos/ä \"1\".jpg").unwrap() };
        assert_eq!(WarehouseTask::parse(&image.payload()).unwrap(), image);
        let expected = r#"{"task":"image","imageId":1,"userId":7,"imagePath":"photos/ä \"1\".jpg"}"#;
        assert_eq!(image.payload(), expected);
        let variants = vec!["1f.png".to_owned(), "0f.jpg".to_owned()];
        let ready =
            MailTask::ThumbnailReady { user_id, picture: "ü.jpg".into(), thumbnail: "0f.jpg".into(), variants };
        assert_eq!(MailTask::parse(&ready.payload()).unwrap(), ready);
        assert!(ready.payload().starts_with(r#"{"notice":"thumbnail_ready","userId":7,"#));
    }

    #[test]
    fn a_payload_with_a_value_that_cannot_be_is_refused() {
        for bad in [
            r#"{"task":"image","imageId":1,"userId":0,"imagePath":"a.jpg"}"#,
            r#"{"task":"image","imageId":1,"userId":1,"imagePath":"../a.jpg"}"#,
            r#"{"task":"order","orderId":"","userId":null,"placedAt":0}"#,
            r#"{"task":"nothing"}"#,
            "null",
        ] {
            assert!(WarehouseTask::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_customer_whose_id_reads_as_a_number_is_that_user() {
        let user = |customer: &str| user_of(&customer.parse().unwrap()).map(UserId::get);
        assert_eq!(user("7"), Some(7));
        for other in ["u-7", "7.0", "-7", "0", "9007199254740992"] {
            assert_eq!(user(other), None, "{other}");
        }
    }

    #[test]
    fn every_occasion_is_found_by_its_name() {
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
